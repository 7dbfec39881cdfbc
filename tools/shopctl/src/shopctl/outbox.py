"""Publish what a lost broker forgot, and forget what is old."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from asyncpg import InterfaceError

from shopctl.console import fail, out, reason
from shopctl.options import moment
from shopctl.place import Place

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def outbox() -> None:
    """What the services have published."""


@app.command()
def replay(
    since: Annotated[
        datetime,
        typer.Option(
            parser=moment,
            metavar="TIME",
            help="What was published then or later: 2026-11-24T10:00:00Z, with any offset, or a date; UTC without one.",
        ),
    ],
    service: Annotated[str | None, typer.Option(help="One service's alone.")] = None,
) -> None:
    """Publish the archive again under the same ids, after the broker lost its data."""
    from shopctl import archive

    place = Place.here()
    services = place.services
    if service is not None and service not in services.outboxes:
        fail(f"{service} publishes nothing; these do: {', '.join(services.outboxes)}.")
    for name in services.outboxes if service is None else (service,):
        database, broker = place.database_url("auditor", name), place.broker_url(name)
        try:
            count = asyncio.run(archive.replay(name, database, broker, since, services.consumers_of))
        except (*archive.FAILURES, InterfaceError) as error:
            fail(f"{name}: {reason(error)}")
        out.print(f"{name}: {count} events published again.")


def prune(days: Annotated[int, typer.Option(min=1, max=36_500, help="Keep this many days.")] = 30) -> None:
    """Remove old archived events, and what remembers that they arrived."""
    from shopctl import archive

    place = Place.here()
    outboxes, inboxes = (
        [place.database_url(name) for name in names] for names in (place.services.outboxes, place.services.inboxes)
    )
    try:
        archived, received = asyncio.run(archive.prune(outboxes, inboxes, datetime.now(UTC) - timedelta(days=days)))
    except (*archive.FAILURES, InterfaceError) as error:
        fail(reason(error))
    out.print(f"Removed {archived} archived events and {received} inbox rows.")
