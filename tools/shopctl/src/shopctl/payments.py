"""`shopctl payments`: lists payments, above all those that wait for an operator."""

import asyncio
import json
from typing import Annotated

import asyncpg
import typer
from rich.table import Table

from shopctl.console import cell, fail, out, reason, show
from shopctl.place import Place

app = typer.Typer(help="Payments and refunds.", no_args_is_help=True, add_completion=False)


@app.callback()
def payments() -> None:
    """Payments and refunds."""


@app.command("list")
def list_(
    stuck: Annotated[
        bool,
        typer.Option("--stuck", help="Only those that wait for an operator: the provider gives no definite answer."),
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many at most.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List payments, the newest order first."""
    try:
        rows = asyncio.run(_select(stuck, limit))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        fail(f"PostgreSQL: {reason(error)}")
    if as_json:
        print(json.dumps([dict(row) for row in rows], indent=2, default=str))
        return
    if not rows:
        out.print("There are no payments.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("order", "state", "provider", "reference", "attempts", "next attempt", "reason"):
        table.add_column(heading)
    for row in rows:
        due = row["next_attempt_at"]
        table.add_row(
            str(row["order_id"]),
            row["state"] + (" (stuck)" if row["stuck"] else ""),
            row["provider"] or "",
            cell(row["provider_reference"] or ""),
            str(row["attempts"]),
            due.isoformat(timespec="seconds") if due else "",
            cell(row["reason"] or ""),
        )
    show(table)


async def _select(stuck: bool, limit: int) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(Place.here().database_url("auditor", "payment"), timeout=5)
    try:
        rows: list[asyncpg.Record] = await connection.fetch(
            "SELECT order_id, state, stuck, provider, provider_reference, attempts, next_attempt_at, reason"  # noqa: S608
            f" FROM payments WHERE {'stuck' if stuck else 'TRUE'} ORDER BY order_id DESC LIMIT $1",
            limit,
        )
        return rows
    finally:
        await connection.close()
