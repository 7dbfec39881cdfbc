"""Publish what a lost broker forgot, and forget what is old."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated

import asyncpg
import typer
from msgspec import Raw

from chassis.ids import created_at
from chassis.messaging.envelope import Envelope, pack
from chassis.messaging.publisher import BrokerDown, Publisher, Refused
from shopctl.console import fail, out
from shopctl.native.place import Place
from shopctl.status import OUTBOXES

EXCHANGE = "quayside"
PAGE = 1000

app = typer.Typer(help="What the services have published.", no_args_is_help=True)


@app.callback()
def outbox() -> None:
    """What the services have published."""


@app.command()
def replay(
    since: Annotated[
        datetime,
        typer.Option(formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"], help="In UTC: what was published then or later."),
    ],
    service: Annotated[str | None, typer.Option(help="One service's alone.")] = None,
) -> None:
    """Publish the archive again under the same ids, after the broker lost its data. Consumers drop what they know."""
    if service is not None and service not in OUTBOXES:
        fail(f"{service} publishes nothing; these do: {', '.join(OUTBOXES)}.")
    place = Place.here()
    for name in OUTBOXES if service is None else [service]:
        try:
            count = asyncio.run(_replay(place, name, since.replace(tzinfo=UTC)))
        except (OSError, TimeoutError, asyncpg.PostgresError, BrokerDown, Refused) as error:
            fail(f"{name}: {error}")
        out.print(f"{name}: {count} events published again.")


async def _replay(place: Place, service: str, since: datetime) -> int:
    connection = await asyncpg.connect(place.database_url("auditor", service), timeout=5)
    count = 0
    last = (since, "00000000-0000-0000-0000-000000000000")
    try:
        async with Publisher(place.broker_url(service), name="shopctl") as publisher:
            while rows := await connection.fetch(
                "SELECT id, routing_key, subject, data, traceparent, published_at FROM outbox_archive"
                " WHERE (published_at, id) > ($1, $2) ORDER BY published_at, id LIMIT $3",
                *last,
                PAGE,
            ):
                await _publish(publisher, service, rows)
                count += len(rows)
                last = (rows[-1]["published_at"], rows[-1]["id"])
    finally:
        await connection.close()
    return count


async def _publish(publisher: Publisher, service: str, rows: list[asyncpg.Record]) -> None:
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
            await publisher.publish(EXCHANGE, key, body)


def prune(
    days: Annotated[int, typer.Option(min=1, help="Keep this many days.")] = 30,
) -> None:
    """Remove old archived events and what remembers their arrival, together: a replay must not look new."""
    place = Place.here()
    before = datetime.now(UTC) - timedelta(days=days)
    try:
        archived, received = asyncio.run(_prune(place, before))
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        fail(f"PostgreSQL: {error}")
    out.print(f"Removed {archived} archived events and {received} inbox rows.")


async def _prune(place: Place, before: datetime) -> tuple[int, int]:
    """Archives first, everywhere: an event that can be replayed is known to its consumers until it cannot."""
    archived = [await _delete(place, service, "outbox_archive", "published_at", before) for service in OUTBOXES]
    received = [await _delete(place, service, "inbox", "received_at", before) for service in OUTBOXES]
    return sum(archived), sum(received)


async def _delete(place: Place, service: str, table: str, column: str, before: datetime) -> int:
    connection = await asyncpg.connect(place.database_url(service), timeout=5)
    try:
        done = await connection.execute(f"DELETE FROM {table} WHERE {column} < $1", before)  # noqa: S608
        return int(done.split()[-1])
    finally:
        await connection.close()
