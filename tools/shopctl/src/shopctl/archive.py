"""The services' archived events and inboxes: publish again, and prune.

Imported where it is used, because it loads slowly.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
from msgspec import Raw

from chassis.db import Database
from chassis.ids import created_at
from chassis.messaging import BrokerDown, Envelope, Publisher, Refused, pack
from chassis.pruning import prune_archive, prune_inbox

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
    last = UUID(int=0)
    try:
        async with Publisher(broker_url, name="shopctl") as publisher:
            while rows := await page(connection, last, since):
                await _publish(publisher, service, rows, consumers)
                count += len(rows)
                last = rows[-1]["id"]
    finally:
        await connection.close()
    return count


async def page(connection: asyncpg.Connection, last: UUID, since: datetime) -> list[asyncpg.Record]:
    """Return the next events after the ID `last` that were published at `since` or later, up to PAGE."""
    return await connection.fetch(
        "SELECT id, routing_key, subject, data, traceparent FROM outbox_archive"
        " WHERE id > $1 AND published_at >= $2 ORDER BY id LIMIT $3",
        *(last, since, PAGE),
    )


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


async def prune(outboxes: Mapping[str, str], inboxes: Mapping[str, str], days: int) -> tuple[int, int]:
    """Remove the events published more than `days` days ago, and inbox rows a week later; returns both numbers.

    Both mappings have the URLs of databases by service. All archives come first: while an event can be published
    again, its consumers must know its ID.
    """
    archived = received = 0
    for url in outboxes.values():
        async with Database(url, name="shopctl", size=1) as db:
            archived += await prune_archive(db, days)
    for service, url in inboxes.items():
        async with Database(url, name="shopctl", size=1) as db:
            received += await prune_inbox(db, service, days)
    return archived, received
