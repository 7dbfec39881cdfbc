"""Commands for published events: publish them again, and remove old ones."""

import asyncio
from datetime import datetime
from typing import Annotated

import typer
from asyncpg import InterfaceError

from shopctl.console import fail, out, reason
from shopctl.options import moment
from shopctl.place import Place

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def outbox() -> None:
    """Events that the services have published."""


@app.command()
def replay(
    since: Annotated[
        datetime,
        typer.Option(
            parser=moment,
            metavar="TIME",
            help="Publish events from this time on: 2026-11-24T10:00:00Z, with any offset, or a date. Default: UTC.",
        ),
    ],
    service: Annotated[str | None, typer.Option(help="Only those of this service.")] = None,
) -> None:
    """Publish archived events again under the same IDs, after the broker has lost its data."""
    from shopctl import archive

    place = Place.here()
    services = place.services
    if service is not None and service not in services.outboxes:
        fail(f"{service} publishes no messages. These services do: {', '.join(services.outboxes)}.")
    for name in services.outboxes if service is None else (service,):
        database, broker = place.database_url("auditor", name), place.broker_url(name)
        try:
            count = asyncio.run(archive.replay(name, database, broker, since, services.consumers_of))
        except (*archive.FAILURES, InterfaceError) as error:
            fail(f"{name}: {reason(error)}")
        out.print(f"{name}: {count} events published again.")


def prune(
    days: Annotated[
        int, typer.Option(min=1, max=36_500, help="Keep events for so many days, and inbox rows a week longer.")
    ] = 30,
) -> None:
    """Remove old archived events and inbox rows. Services do this every minute, by ARCHIVE_DAYS."""
    from shopctl import archive

    place = Place.here()
    services = place.services
    outboxes, inboxes = (
        {name: place.database_url(name) for name in names} for names in (services.outboxes, services.inboxes)
    )
    try:
        archived, received = asyncio.run(archive.prune(outboxes, inboxes, days))
    except (*archive.FAILURES, InterfaceError) as error:
        fail(reason(error))
    out.print(f"Removed {archived} archived events and {received} inbox rows.")
