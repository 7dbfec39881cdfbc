"""The relay: publishes outbox rows and archives what the broker confirmed. One runs in every process that writes.

It polls and is woken in-process: LISTEN/NOTIFY halves commits, and a cursor `id > last` skips rows, because ids
commit out of order. Rows are locked while they are published (`SKIP LOCKED`), so two relays never send one row at
the same time, and a crash leaves it for the next. `test_relay.py` shows a crash, an unroutable key and a dead broker.
"""

import asyncio
import logging
import time
from collections import defaultdict
from typing import Self
from uuid import UUID

import asyncpg
import msgspec
from pydantic import SecretStr

from chassis import telemetry
from chassis.db import Connection, Database, is_environment_failure
from chassis.ids import created_at
from chassis.messaging.envelope import Envelope, pack
from chassis.messaging.publisher import Publisher, Refused
from chassis.outage import Outage

__all__ = ["Relay"]

log = logging.getLogger(__name__)

POLL = 0.2
TAKE = 256
BACKOFF = (0.1, 30.0)

SELECT = (
    "SELECT id, routing_key, subject, data, traceparent FROM outbox"
    " WHERE routing_key <> ALL ($1::text[]) ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED"
)
ARCHIVE = (
    "WITH gone AS (DELETE FROM outbox WHERE id = ANY ($1::uuid[]) RETURNING *)"
    " INSERT INTO outbox_archive (id, routing_key, subject, data, traceparent)"
    " SELECT id, routing_key, subject, data, traceparent FROM gone"
)


class Relay:
    """Started and stopped with its process; `backlog_seconds` is the age of the oldest row it knows of."""

    def __init__(self, db: Database, url: SecretStr | str, service: str, *, exchange: str = "quayside") -> None:
        self._db = db
        self._service = service
        self._exchange = exchange
        self._publisher = Publisher(url, name=f"{service}:relay")
        self._wake = asyncio.Event()
        self._stopping = False
        self._outage = Outage(log, "relay")
        self._task: asyncio.Task[None] | None = None
        self._oldest: float | None = None
        self._blocked: dict[str, tuple[float, float]] = {}  # routing key → (not before, delay)
        db.after_messages.append(self._wake.set)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="relay")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=6)
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1)
        await self._publisher.__aexit__()

    @property
    def backlog_seconds(self) -> float:
        return 0.0 if self._oldest is None else max(0.0, time.time() - self._oldest)

    async def _run(self) -> None:
        delay = BACKOFF[0]
        while not self._stopping:
            woken = await self._woken()
            try:
                if woken or await self._waiting():
                    while await self.publish_once() == TAKE:
                        pass
                delay = BACKOFF[0]
                self._outage.over()
            except Exception as error:
                if not is_environment_failure(error):
                    log.exception("the relay failed; it goes on")
                else:
                    self._outage.failed(error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5)
                self._wake.set()

    async def _woken(self) -> bool:
        try:
            await asyncio.wait_for(self._wake.wait(), POLL)
        except TimeoutError:
            return False
        self._wake.clear()
        return True

    async def _waiting(self) -> bool:
        """A read so cheap that an idle shop may ask five times a second."""
        async with self._db.connection() as connection:
            waiting: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM outbox)")
        if not waiting:
            self._oldest = None
        return waiting

    async def publish_once(self) -> int:
        """Publishes up to 256 rows in one transaction; returns how many the broker confirmed."""
        now = time.monotonic()
        blocked = [key for key, (not_before, _) in self._blocked.items() if not_before > now]
        async with self._db.connection() as connection, connection.transaction():
            rows = await connection.fetch(SELECT, blocked, TAKE)
            if not rows:
                if not blocked:
                    self._oldest = None
                return 0
            oldest = created_at(rows[0]["id"]).timestamp()
            self._oldest = min(self._oldest, oldest) if blocked and self._oldest is not None else oldest
            confirmed = await self._publish(rows)
            await self._archive(connection, confirmed)
        if len(confirmed) == len(rows) and not blocked:
            self._oldest = None if len(rows) < TAKE else self._oldest
        return len(confirmed)

    async def _archive(self, connection: Connection, ids: list[UUID]) -> None:
        if ids:
            await connection.execute(ARCHIVE, ids)
            telemetry.sent.add(len(ids), {"messaging.destination.name": self._exchange})

    async def _publish(self, rows: list[asyncpg.Record]) -> list[UUID]:
        by_key: dict[str, list[Envelope]] = defaultdict(list)
        for row in rows:
            by_key[row["routing_key"]].append(
                Envelope(
                    id=row["id"],
                    source=f"/quayside/{self._service}",
                    type=row["routing_key"],
                    time=created_at(row["id"]),
                    subject=row["subject"],
                    data=msgspec.Raw(row["data"].encode()),
                    traceparent=row["traceparent"],
                )
            )
        messages = [(key, ids, body) for key, envelopes in by_key.items() for ids, body in pack(envelopes)]
        results = await asyncio.gather(
            *(self._publisher.publish(self._exchange, key, body) for key, _, body in messages),
            return_exceptions=True,
        )
        confirmed: list[UUID] = []
        down: BaseException | None = None
        for (key, ids, _), result in zip(messages, results, strict=True):
            if result is None:
                confirmed += ids
                self._blocked.pop(key, None)
            elif isinstance(result, Refused):
                self._block(key, result)
            else:
                down = result
        if down is not None and not confirmed:
            raise down
        return confirmed

    def _block(self, key: str, reason: Exception) -> None:
        """Leaves a key out for a while, so that it holds up no other."""
        _, delay = self._blocked.get(key, (0.0, BACKOFF[0] / 2))
        delay = min(delay * 2, BACKOFF[1])
        self._blocked[key] = (time.monotonic() + delay, delay)
        log.warning("relay: %s; %s again in %.1f s", reason, key, delay)
