"""The services' archived events and inboxes: publish again, and prune.

Imported where it is used, because it loads slowly.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
from msgspec import Raw

from chassis.ids import created_at
from chassis.messaging import BrokerDown, Envelope, Publisher, Refused, pack

PAGE = 1000
FAILURES = (OSError, TimeoutError, asyncpg.PostgresError, BrokerDown, Refused)


async def replay(
    service: str, database_url: str, broker_url: str, since: datetime, consumers: Callable[[str], Sequence[str]]
) -> int:
    """Publish again what `service` published since then, under the same IDs; returns the number of events.

    `consumers` returns the consumers of a routing key.
    Raises one of FAILURES. It may be repeated: consumers drop events that they have handled.
    """
    connection = await asyncpg.connect(database_url, timeout=5)
    count = 0
    last: tuple[datetime, UUID] = (since, UUID(int=0))
    try:
        async with Publisher(broker_url, name="shopctl") as publisher:
            while rows := await connection.fetch(
                "SELECT id, routing_key, subject, data, traceparent, published_at FROM outbox_archive"
                " WHERE (published_at, id) > ($1, $2) ORDER BY published_at, id LIMIT $3",
                *last,
                PAGE,
            ):
                await _publish(publisher, service, rows, consumers)
                count += len(rows)
                last = (rows[-1]["published_at"], rows[-1]["id"])
    finally:
        await connection.close()
    return count


async def _publish(
    publisher: Publisher, service: str, rows: list[asyncpg.Record], consumers: Callable[[str], Sequence[str]]
) -> None:
    by_key: dict[str, list[Envelope]] = {}
    for row in rows:
        event = Envelope(
            id=row["id"],
            source=f"/quayside/{service}",
            type=row["routing_key"],
            time=created_at(row["id"]),
            subject=row["subject"],
            data=Raw(row["data"].encode()),
            traceparent=row["traceparent"],
        )
        by_key.setdefault(event.type, []).append(event)
    for key, events in by_key.items():
        for _, body in pack(events):
            for consumer in consumers(key):
                await publisher.publish(f"{consumer}.in", key, body)


async def prune(outboxes: Sequence[str], inboxes: Sequence[str], before: datetime) -> tuple[int, int]:
    """Remove older archived events and inbox rows from these databases; returns the number of each.

    Archives come first, in all databases: while an event can be published again, its consumers must know its ID.
    """
    archived = [await _delete(url, "DELETE FROM outbox_archive WHERE published_at < $1", before) for url in outboxes]
    received = [await _delete(url, "DELETE FROM inbox WHERE received_at < $1", before) for url in inboxes]
    return sum(archived), sum(received)


async def _delete(url: str, statement: str, before: datetime) -> int:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        done = await connection.execute(statement, before)
        return int(done.split()[-1])
    finally:
        await connection.close()
