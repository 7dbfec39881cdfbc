"""The relay: publishes outbox rows and archives what the broker confirmed. It runs in every process that writes.

It polls, and commits of its own process wake it. LISTEN/NOTIFY would halve the rate of commits, and a cursor
`id > last` would skip rows, because rows are not committed in the order of their IDs. Rows are locked while they are
published (`SKIP LOCKED`), so two relays never send the same row at the same time; after a crash another relay sends it.
`test_relay.py` shows a crash, an unroutable key and a broker that is down.
"""

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import timedelta
from typing import Self
from uuid import UUID

import asyncpg
import msgspec
from pydantic import SecretStr

from chassis import metrics, tracing
from chassis.db import Connection, Database
from chassis.ids import created_at, floor
from chassis.messages import Message
from chassis.messaging import BrokerDown, Envelope, Publisher, Refused, pack
from chassis.outage import Outage
from chassis.tasks import PeriodicTask

__all__ = ["Relay"]

log = logging.getLogger(__name__)

POLL = 0.2
TAKE = 256
BACKOFF = (0.1, 30.0)
COUNT_EVERY = 1.0
"""Seconds that the oldest message waits before all that wait are counted, and between two counts."""
LOOK_BACK = timedelta(minutes=15)
"""The age up to which messages are published again when their queue was lost."""

COLUMNS = "id, routing_key, subject, data, traceparent"
SELECT = (
    f"SELECT {COLUMNS}, now() AS now FROM outbox"  # noqa: S608
    " WHERE routing_key <> ALL ($1::text[]) ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED"
)
ARCHIVE = (
    f"WITH gone AS (DELETE FROM outbox WHERE id = ANY ($1::uuid[]) RETURNING {COLUMNS})"  # noqa: S608
    f" INSERT INTO outbox_archive ({COLUMNS}) SELECT {COLUMNS} FROM gone"
)
ARCHIVED = (
    f"SELECT {COLUMNS} FROM outbox_archive"  # noqa: S608
    " WHERE id > $1 AND routing_key = $2 ORDER BY id LIMIT $3"
)


class Relay:
    """Publishes the messages of a service inside its `async with` block.

    `backlog_seconds` is the age of the oldest outbox row that it knows.

    `messages` are the types that the service publishes; they name their consumers.

    Messages for a missing queue or binding stay in the outbox until it is back. When a queue is deleted, all its
    messages are lost. The relay therefore publishes the recent ones again, and consumers ignore those that they have
    handled.
    """

    def __init__(self, db: Database, url: SecretStr | str, service: str, messages: Iterable[type[Message]]) -> None:
        self._db = db
        self._service = service
        self._consumers = {message.type: message.consumers for message in messages}
        self._publisher = Publisher(url, name=f"{service}:relay")
        self._task = PeriodicTask("relay", self._work, every=POLL, stop_within=6)
        self._woken = False
        self._oldest: float | None = None
        self._counted = 0.0
        self._blocked: dict[str, tuple[float, float]] = {}  # routing key → (not before, delay)
        self._refusals: dict[str, Outage] = {}
        self._lost: dict[str, UUID] = {}  # routing key of a lost queue → the ID after which to publish again
        db.after_messages.append(self._wake)

    async def __aenter__(self) -> Self:
        metrics.outbox_age.set_function(lambda: self.backlog_seconds)
        await self._task.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._task.__aexit__()
        await self._publisher.__aexit__()

    @property
    def backlog_seconds(self) -> float:
        return 0.0 if self._oldest is None else max(0.0, time.monotonic() - self._oldest)

    def _wake(self, _: object) -> None:
        self._woken = True
        self._task.wake()

    async def _work(self) -> None:
        woken, self._woken = self._woken, False
        if woken or self._lost or await self._waiting():
            while await self.publish_once() == TAKE:
                pass
        for key in self._lost.keys() - self._resting():
            await self._publish_again(key)

    async def _count(self, connection: Connection, seen: int) -> None:
        """Sets the gauge: in a backlog to the number of all rows, once a second; otherwise to those just seen."""
        if self.backlog_seconds <= COUNT_EVERY:
            if seen:  # otherwise there are none, or their keys are blocked
                metrics.outbox_events.set(seen)
        elif time.monotonic() - self._counted >= COUNT_EVERY:
            self._counted = time.monotonic()
            count = await connection.fetchval("SELECT count(*) FROM (SELECT FROM outbox LIMIT 10000) AS counted")
            metrics.outbox_events.set(count)

    def _empty(self) -> None:
        self._oldest = None
        metrics.outbox_events.set(0)

    async def _waiting(self) -> bool:
        """Returns whether there are rows. The query is cheap enough for five times a second."""
        async with self._db.connection() as connection:
            waiting: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM outbox)")
        if not waiting:
            self._empty()
        return waiting

    async def publish_once(self) -> int:
        """Publishes up to 256 rows in one transaction, and returns how many the broker confirmed."""
        blocked = sorted(self._resting())
        async with self._db.connection() as connection, connection.transaction():
            rows = await connection.fetch(SELECT, blocked, TAKE)
            if rows:
                oldest = time.monotonic() - (rows[0]["now"] - created_at(rows[0]["id"])).total_seconds()
                self._oldest = min(self._oldest, oldest) if blocked and self._oldest is not None else oldest
            elif not blocked:
                self._empty()
            await self._count(connection, len(rows))
            if not rows:
                return 0
            confirmed = await self._publish(rows)
            await self._archive(connection, confirmed)
        archived = set(confirmed)
        for key, count in Counter(row["routing_key"] for row in rows if row["id"] in archived).items():
            metrics.sent.labels(key).inc(count)
        if len(confirmed) == len(rows) < TAKE and not blocked:
            self._empty()
        return len(confirmed)

    async def _archive(self, connection: Connection, ids: list[UUID]) -> None:
        if ids:
            await connection.execute(ARCHIVE, ids)

    async def _publish_again(self, key: str) -> None:
        """Publishes the messages of a lost queue again, if it is back: those from shortly before the loss and since."""
        count = 0
        while True:
            async with self._db.connection() as connection:
                rows = await connection.fetch(ARCHIVED, self._lost[key], key, TAKE)
            if len(await self._publish(rows)) < len(rows):
                return  # the queue is lost again, or full: continue here later
            count += len(rows)
            if len(rows) < TAKE:
                break
            self._lost[key] = rows[-1]["id"]
        del self._lost[key]
        if count:
            log.warning("relay: a queue of %s was lost; the last %d events were published once more", key, count)

    async def _publish(self, rows: list[asyncpg.Record]) -> list[UUID]:
        """Publishes the rows, and returns the IDs of those that the queues of all consumers have stored."""
        by_key: dict[str, list[Envelope]] = defaultdict(list)
        spans: dict[UUID, tracing.Span] = {}
        for row in rows:
            context = tracing.extract(row["traceparent"])
            if context is not None and context.recording:
                spans[row["id"]] = _span(row, context)
                context = spans[row["id"]]
            by_key[row["routing_key"]].append(
                Envelope(
                    id=row["id"],
                    source=f"/quayside/{self._service}",
                    type=row["routing_key"],
                    time=created_at(row["id"]),
                    subject=row["subject"],
                    data=msgspec.Raw(row["data"].encode()),
                    traceparent=None if context is None else context.traceparent,
                )
            )
        messages = [(key, ids, body) for key, envelopes in by_key.items() for ids, body in pack(envelopes)]
        results = await asyncio.gather(*(self._send(key, body) for key, _, body in messages))
        confirmed: list[UUID] = []
        down: Exception | None = None
        for (key, ids, _), failure in zip(messages, results, strict=True):
            if failure is None:
                confirmed += ids
                if self._blocked.pop(key, None):
                    self._refusals.pop(key).over()
                for id in spans.keys() & set(ids):  # a failed attempt has no span: the next one tells how long it took
                    spans[id].finish()
            elif isinstance(failure, Refused):
                metrics.refused.labels(key).inc(len(ids))
                self._block(key, failure, ids[0])
            else:
                down = failure
        if down is not None and not confirmed:
            raise down
        return confirmed

    async def _send(self, key: str, body: bytes) -> Exception | None:
        """Sends one message to each consumer. Returns the failure if one of them did not get it, otherwise None."""
        consumers = self._consumers.get(key)
        if not consumers:
            return Refused(f"{key}: this version knows no consumer for it", unroutable=False)
        sent = await asyncio.gather(
            *(self._publisher.publish(f"{consumer}.in", key, body) for consumer in consumers), return_exceptions=True
        )
        unroutable = (each for each in sent if isinstance(each, Refused) and each.unroutable)
        failure = next(unroutable, None) or next(filter(None, sent), None)
        if failure is None or isinstance(failure, Exception):
            return failure
        return BrokerDown("the connection was lost while publishing")  # aiormq cancels its waiters

    def _resting(self) -> set[str]:
        """Returns the routing keys that are in their pause after a failure."""
        now = time.monotonic()
        return {key for key, (not_before, _) in self._blocked.items() if not_before > now}

    def _block(self, key: str, reason: Refused, event: UUID) -> None:
        """Skips a key for a while, so that it does not delay others."""
        if reason.unroutable:
            queues = set(self._consumers[key])
            after = floor(created_at(event) - LOOK_BACK)
            self._lost |= {each: after for each, others in self._consumers.items() if queues & set(others)}
        _, delay = self._blocked.get(key, (0.0, BACKOFF[0] / 2))
        delay = min(delay * 2, BACKOFF[1])
        self._blocked[key] = (time.monotonic() + delay, delay)
        self._refusals.setdefault(key, Outage(log, f"relay: {key}")).failed(reason)


def _span(row: asyncpg.Record, context: tracing.Context) -> tracing.Span:
    return tracing.Span(
        f"send {row['routing_key']}",
        tracing.PRODUCER,
        context,
        {
            "messaging.system": "rabbitmq",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": row["routing_key"],
            "messaging.message.id": str(row["id"]),
            "quayside.subject": row["subject"],
            "quayside.outbox.wait": round(max(0.0, time.time() - created_at(row["id"]).timestamp()), 3),
        },
    )
