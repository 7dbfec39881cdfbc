"""The feed of this process's event streams. One query serves all open streams; without any, no query is sent."""

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Self
from uuid import UUID

import msgspec

from chassis.db import Database
from chassis.tasks import PeriodicTask
from order import repository
from order.models import Status, settled

__all__ = ["Feed", "Step"]

POLL = 0.2
MAX_WATCHERS = 5_000


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """A step of an order's history."""

    seq: int
    status: str
    at: datetime
    reason: str | None = None

    @property
    def last(self) -> bool:
        return settled(Status(self.status))


class Watcher:
    """A stream that got an order's steps up to `seen`. Its queue needs no limit, because an order has few states."""

    def __init__(self, order_id: UUID, seen: int) -> None:
        self.order_id = order_id
        self.seen = seen
        self.steps: asyncio.Queue[Step] = asyncio.Queue()


class Feed:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._watchers: set[Watcher] = set()
        self._task = PeriodicTask("feed", self._look, every=POLL, longest_pause=POLL)

    async def __aenter__(self) -> Self:
        await self._task.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._task.__aexit__()

    @property
    def full(self) -> bool:
        """Returns whether there are as many watchers as one query can serve."""
        return len(self._watchers) >= MAX_WATCHERS

    @contextlib.contextmanager
    def watch(self, order_id: UUID, seen: int) -> Iterator[asyncio.Queue[Step]]:
        """Yields a queue that gets each step after `seen`."""
        watcher = Watcher(order_id, seen)
        if not self._watchers:
            self._task.wake()
        self._watchers.add(watcher)
        try:
            yield watcher.steps
        finally:
            self._watchers.discard(watcher)

    async def _look(self) -> None:
        watchers = list(self._watchers)
        if not watchers:
            return
        seen: dict[UUID, int] = {}
        for watcher in watchers:
            seen[watcher.order_id] = min(seen.get(watcher.order_id, watcher.seen), watcher.seen)
        async with self._db.connection() as connection:
            rows = await repository.history_after(connection, seen)
        steps: dict[UUID, list[Step]] = {}
        for row in rows:
            steps.setdefault(row["order_id"], []).append(Step(row["seq"], row["status"], row["at"], row["reason"]))
        for watcher in watchers:
            for step in steps.get(watcher.order_id, ()):
                if step.seq > watcher.seen:
                    watcher.seen = step.seq
                    watcher.steps.put_nowait(step)
