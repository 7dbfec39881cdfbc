"""The relay: publishes outbox rows and archives what the broker confirmed. It runs in every process that writes.

A commit hands its rows to the relay of its own process, which gathers them for a moment, publishes them in batches, and
archives them in larger ones. What is left in the outbox after two seconds, because a process crashed or the broker
refused it, belongs to whichever relay reads it first. LISTEN/NOTIFY would halve the rate of commits, and a cursor
`id > last` would skip rows, because rows are not committed in the order of their IDs.

A row can be published twice: after a crash between publishing and archiving, or if a confirm takes longer than two
seconds. Consumers ignore what they have handled. `test_relay.py` shows a crash, an unroutable key and a broker that is
down.
"""

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Self
from uuid import UUID

import msgspec
from asyncpg import Record
from pydantic import SecretStr

from chassis import metrics, tracing
from chassis.db import Connection, Database
from chassis.ids import created_at, floor
from chassis.messages import Message
from chassis.messaging import BrokerDown, Envelope, Publisher, Refused, pack
from chassis.outage import Outage
from chassis.outbox import Row
from chassis.tasks import PeriodicTask

__all__ = ["Relay"]

log = logging.getLogger(__name__)

LINGER = 0.025
"""Seconds for which the rows of several commits are gathered.

Fewer and larger messages wake fewer processes. An order is confirmed 0.1 s later for it, because it takes four messages
one after another (docs/performance.md).
"""
POLL = 0.5
"""Seconds between two looks into the outbox, and between two times that rows are archived."""
OWN = 2.0
"""Seconds for which a row is left to the process that has written it."""
TAKE = 256
MAX_HANDED = 4 * TAKE
"""Rows that may wait in memory. Further ones replace the oldest, which are then read from the outbox."""
BACKOFF = (0.1, 30.0)
COUNT_EVERY = 1.0
"""Seconds that the oldest message waits before all that wait are counted, and between two counts."""
LOOK_BACK = timedelta(minutes=15)
"""The age up to which messages are published again when their queue was lost."""

COLUMNS = "id, routing_key, subject, data, traceparent"
# IDs begin with the milliseconds of the database's clock.
LEFT = (
    "FROM outbox WHERE id <> ALL ($1::uuid[]) AND id <="
    " encode(int8send(((extract(epoch FROM now()) - $2::float8) * 1000)::bigint << 16 | 65535) || int8send(-1),"
    " 'hex')::uuid"
)
"""Rows that no process has in its hands: not those of $1, which are in ours, and none younger than $2 seconds."""
WAITING = f"SELECT EXISTS (SELECT {LEFT})"
SELECT = (
    f"SELECT {COLUMNS}, now() AS now {LEFT}"
    " AND routing_key <> ALL ($3::text[]) ORDER BY id LIMIT $4 FOR UPDATE SKIP LOCKED"
)
ARCHIVE = (
    f"WITH gone AS (DELETE FROM outbox WHERE id = ANY ($1::uuid[]) RETURNING {COLUMNS})"  # noqa: S608
    f" INSERT INTO outbox_archive ({COLUMNS}) SELECT {COLUMNS} FROM gone"
    " ON CONFLICT (id) DO NOTHING"  # somebody has copied rows back by hand
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
        self._handed: deque[Row] = deque(maxlen=MAX_HANDED)
        self._published: list[UUID] = []
        self._looked = 0.0
        self._own = OWN
        self._failed = False  # something failed in this run, though perhaps not every message
        self._oldest: float | None = None
        self._counted = 0.0
        self._blocked: dict[str, tuple[float, float]] = {}  # routing key → (not before, delay)
        self._refusals: dict[str, Outage] = {}
        self._lost: dict[str, UUID] = {}  # routing key of a lost queue → the ID after which to publish again
        db.after_messages.append(self._take)

    async def __aenter__(self) -> Self:
        metrics.outbox_age.set_function(lambda: self.backlog_seconds)
        await self._task.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Publishes and archives what it has in its hands. What fails is left to other relays, or to the next start."""
        self._looked = -POLL
        self._task.wake()
        await self._task.__aexit__()
        await self._publisher.__aexit__()

    @property
    def backlog_seconds(self) -> float:
        return 0.0 if self._oldest is None else max(0.0, time.monotonic() - self._oldest)

    def _take(self, rows: list[Row]) -> None:
        if not self._own:
            return
        if not self._handed:
            asyncio.get_running_loop().call_later(LINGER, self._task.wake)
        self._handed.extend(rows)

    async def _work(self) -> None:
        self._failed = False
        try:
            if self._handed:
                await self._publish_handed()
            if not self._own or time.monotonic() - self._looked >= POLL or len(self._published) >= MAX_HANDED:
                self._looked = time.monotonic()
                await self._archive_published()
                await self._publish_left()
        except BaseException:
            self._failed = True
            raise
        finally:
            if self._failed:  # until a run succeeds, only the outbox tells what is left
                self._handed.clear()
            self._own = 0.0 if self._failed else OWN
        if self._handed:
            self._task.wake()

    async def _publish_handed(self) -> None:
        """Publishes rows of this process. What fails is left in the outbox."""
        resting = self._resting()
        rows = [self._handed.popleft() for _ in range(min(TAKE, len(self._handed)))]
        self._published += await self._publish([row for row in rows if row.routing_key not in resting])

    async def _archive_published(self) -> None:
        if self._published:
            async with self._db.connection() as connection:
                await self._archive(connection, sorted(self._published))
            self._published = []

    async def _publish_left(self) -> None:
        """Publishes the rows that are left in the outbox, and those of lost queues."""
        if self._lost or await self._waiting():
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
        async with self._db.connection() as connection:
            waiting: bool = await connection.fetchval(WAITING, self._in_hand(), self._own)
        if not waiting:
            self._empty()
        return waiting

    def _in_hand(self) -> list[UUID]:
        return [row.id for row in self._handed]

    async def publish_once(self) -> int:
        """Publishes up to 256 rows that are left, in one transaction; returns how many the broker confirmed.

        They are locked meanwhile (`SKIP LOCKED`), so that two relays do not publish the same row.
        """
        blocked = sorted(self._resting())
        async with self._db.connection() as connection, connection.transaction():
            rows = await connection.fetch(SELECT, self._in_hand(), self._own, blocked, TAKE)
            if rows:
                oldest = time.monotonic() - (rows[0]["now"] - created_at(rows[0]["id"])).total_seconds()
                self._oldest = min(self._oldest, oldest) if blocked and self._oldest is not None else oldest
            elif not blocked:
                self._empty()
            await self._count(connection, len(rows))
            if not rows:
                return 0
            confirmed = await self._publish([_row(row) for row in rows])
            await self._archive(connection, confirmed)
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
                rows = [_row(row) for row in await connection.fetch(ARCHIVED, self._lost[key], key, TAKE)]
            if len(await self._publish(rows)) < len(rows):
                return  # the queue is lost again, or full: continue here later
            count += len(rows)
            if len(rows) < TAKE:
                break
            self._lost[key] = rows[-1].id
        del self._lost[key]
        if count:
            log.warning("relay: a queue of %s was lost; the last %d events were published once more", key, count)

    async def _publish(self, rows: Sequence[Row]) -> list[UUID]:
        """Publishes the rows, and returns the IDs of those that the queues of all consumers have stored."""
        by_key: dict[str, list[Envelope]] = defaultdict(list)
        spans: dict[UUID, tracing.Span] = {}
        for row in rows:
            context = tracing.extract(row.traceparent)
            if context is not None and context.recording:
                spans[row.id] = _span(row, context)
                context = spans[row.id]
            by_key[row.routing_key].append(
                Envelope(
                    id=row.id,
                    source=f"/quayside/{self._service}",
                    type=row.routing_key,
                    time=created_at(row.id),
                    subject=row.subject,
                    data=msgspec.Raw(row.data.encode()),
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
                metrics.sent.labels(key).inc(len(ids))
                if self._blocked.pop(key, None):
                    self._refusals.pop(key).over()
                for id in spans.keys() & set(ids):  # a failed attempt has no span: the next one tells how long it took
                    spans[id].finish()
            elif isinstance(failure, Refused):
                metrics.refused.labels(key).inc(len(ids))
                self._block(key, failure, ids[0])
            else:
                down = failure
        if down is not None:
            self._failed = True
            if not confirmed:
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


def _row(record: Record) -> Row:
    return Row(*record[:5])


def _span(row: Row, context: tracing.Context) -> tracing.Span:
    return tracing.Span(
        f"send {row.routing_key}",
        tracing.PRODUCER,
        context,
        {
            "messaging.system": "rabbitmq",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": row.routing_key,
            "messaging.message.id": str(row.id),
            "quayside.subject": row.subject,
            "quayside.outbox.wait": round(max(0.0, time.time() - created_at(row.id).timestamp()), 3),
        },
    )
