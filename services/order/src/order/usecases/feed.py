"""The feed behind all open streams of this process: one query for all, and none while nobody watches."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Self
from uuid import UUID

import msgspec

from chassis.db import Database, is_environment_failure
from order import repository
from order.models import Status, settled

__all__ = ["Feed", "Step"]

log = logging.getLogger(__name__)

POLL = 0.2
MAX_WATCHERS = 5_000


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of an order's history."""

    seq: int
    status: str
    at: datetime
    reason: str | None = None

    @property
    def last(self) -> bool:
        return settled(Status(self.status))


class Watcher:
    """Who watches an order from step `seen` on. Its queue is bounded by the order, which passes five states at most."""

    def __init__(self, order_id: UUID, seen: int) -> None:
        self.order_id = order_id
        self.seen = seen
        self.steps: asyncio.Queue[Step] = asyncio.Queue()


class Feed:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._watchers: set[Watcher] = set()
        self._watched = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="feed")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1)

    @property
    def full(self) -> bool:
        """Whether as many are watching as one query can serve."""
        return len(self._watchers) >= MAX_WATCHERS

    @contextlib.contextmanager
    def watch(self, order_id: UUID, seen: int) -> Iterator[asyncio.Queue[Step]]:
        """A queue that gets each step after number `seen`."""
        watcher = Watcher(order_id, seen)
        self._watchers.add(watcher)
        self._watched.set()
        try:
            yield watcher.steps
        finally:
            self._watchers.discard(watcher)

    async def _run(self) -> None:
        while True:
            await self._watched.wait()
            try:
                await self._look()
            except Exception as error:
                if not is_environment_failure(error):
                    log.exception("the feed failed; it goes on")
            if not self._watchers:
                self._watched.clear()
            await asyncio.sleep(POLL)

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
