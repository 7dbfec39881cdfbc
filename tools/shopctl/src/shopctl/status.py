"""The command that shows processes, their memory and their backlog."""

import asyncio
import contextlib
import json
from dataclasses import asdict, dataclass
from typing import Annotated

import asyncpg
import typer
from rich.table import Table

from chassis.local.processes import StartError
from shopctl import runtime
from shopctl.console import fail, show
from shopctl.place import Place
from shopctl.shop import Row
from shopctl.topology import queues as queues_of
from shopctl.units import megabytes


@dataclass(frozen=True)
class Backlog:
    """Messages in each queue, rows in each outbox, and refunds that the provider has not made yet.

    `unconsumed` are services whose queue has no consumer, `missing` are queues that do not exist and should.
    """

    queues: dict[str, int]
    outboxes: dict[str, int]
    refunds: int | None
    unconsumed: list[str]
    missing: list[str]

    def of(self, name: str) -> str:
        """The backlog of one process in words."""
        parts = {
            "queued": self.queues.get(name, 0),
            "to retry later": sum(count for queue, count in self.queues.items() if queue.startswith(f"{name}.retry.")),
            "dead": self.queues.get(f"{name}.dead", 0),
            "to publish": self.outboxes.get(name, 0),
            "refunds open": (self.refunds or 0) if name == "payment" else 0,
        }
        missing = [f"queue {queue} is missing" for queue in self.missing if queue.partition(".")[0] == name]
        unconsumed = ["its queue has no consumer"] if name in self.unconsumed else []
        return ", ".join([*missing, *unconsumed, *(f"{count} {what}" for what, count in parts.items() if count)])


def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show each process and store. The exit code is 1 unless all are ready and every queue exists and is consumed."""
    try:
        shop = runtime.current()
        rows = shop.rows()
    except StartError as error:
        fail(error)
    backlog = asyncio.run(look_into(shop.place))
    if as_json:
        print(json.dumps({"processes": [asdict(row) for row in rows], "backlog": asdict(backlog)}, indent=2))
    else:
        show(_table(rows, backlog))
    if backlog.missing or backlog.unconsumed or any(row.state != "ready" for row in rows):
        raise typer.Exit(1)


async def look_into(place: Place) -> Backlog:
    """Returns the backlog of the stores that answer; the others are left out."""
    from shopctl import broker

    queues: dict[str, int] = {}
    unconsumed: list[str] = []
    missing: list[str] = []
    with contextlib.suppress(*broker.UNREACHABLE):
        found = await broker.queues(place.broker_url("operator"), queues_of(place.services))
        queues = {name: queue.messages for name, queue in found.items() if queue}
        unconsumed = [name for name in place.services.consumers if (queue := found[name]) and not queue.consumers]
        missing = [name for name, queue in found.items() if queue is None]
    outboxes: dict[str, int] = {}
    refunds: int | None = None
    for service in place.services.outboxes:
        try:
            connection = await asyncpg.connect(place.database_url("auditor", service), timeout=3)
        except (OSError, TimeoutError, asyncpg.PostgresError):
            continue
        try:
            outboxes[service] = await connection.fetchval("SELECT count(*) FROM outbox")
            if service == "payment":
                refunds = await connection.fetchval("SELECT count(*) FROM payments WHERE state = 'REFUNDING'")
        except asyncpg.UndefinedTableError:
            pass  # not migrated yet
        finally:
            await connection.close()
    return Backlog(queues, outboxes, refunds, unconsumed, missing)


def _table(rows: list[Row], backlog: Backlog) -> Table:
    total = sum(row.memory or 0 for row in rows)
    table = Table(box=None, pad_edge=False, show_footer=True)
    table.add_column("process", "all")
    table.add_column("state")
    table.add_column("port", justify="right")
    table.add_column("pid", justify="right")
    table.add_column("memory", megabytes(total), justify="right")
    table.add_column("backlog")
    for row in rows:
        color = {"ready": "green", "stopped": "red"}.get(row.state, "yellow")
        memory = megabytes(row.memory) if row.memory is not None else ""
        state = f"[{color}]{row.state}[/{color}]"
        table.add_row(row.name, state, str(row.port or ""), str(row.pid or ""), memory, backlog.of(row.name))
    return table
