"""The command that prints logs."""

import os
from collections.abc import Iterator
from typing import Annotated
from uuid import UUID

import typer

from shopctl import runtime
from shopctl.console import err, fail, out, reason
from shopctl.logs import lines as loglines
from shopctl.shop import Shop


def logs(
    service: Annotated[str | None, typer.Argument(help="A process, as `status` names it.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines.")] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, max=1_000_000, help="Number of lines of each log to start with.")
    ] = 50,
    order: Annotated[
        str | None,
        typer.Option(
            metavar="ORDER-ID", help="Print all lines about this order, in the order of time. Its beginning is enough."
        ),
    ] = None,
) -> None:
    """Print the last lines of the logs, or all lines about one order."""
    shop = runtime.current()
    if service and service not in shop.names:
        fail(f"There is no {service}; there are {', '.join(shop.names)}.")
    if order is not None:
        if follow:
            fail("--order and --follow cannot be combined.", 2)
        _about(shop, service, order)
        return
    command = shop.log_command(service, follow=follow, lines=lines)
    os.execvpe(command[0], command, shop.environment)  # noqa: S606


def _about(shop: Shop, service: str | None, beginning: str) -> None:
    """Prints the lines with the order's ID or its trace ID."""
    id, trace_id = _needles(shop, beginning)
    written: Iterator[tuple[str, str]] = shop.log_lines(service)
    found = loglines.select(written, [each for each in (id, trace_id) if each])
    for line in found:
        out.print(loglines.show(line, hide=(id, trace_id)), soft_wrap=True)
    number = len(found)
    told = "No line is" if number == 0 else "1 line is" if number == 1 else f"{number} lines are"
    err.print(
        f"{told} about order {id}. Services log each failure, and 1 in 100 of the requests that succeed."
        f"\n`shopctl trace {id}` shows each step of the order.",
        style="dim",
        soft_wrap=True,
    )


def _needles(shop: Shop, beginning: str) -> tuple[str, str | None]:
    """The order's ID and its trace ID. Without PostgreSQL, a whole ID is enough for most lines."""
    import asyncio

    from shopctl.trace import order as orders

    try:
        found = asyncio.run(orders.look_up(shop.place, beginning))
    except orders.UNREACHABLE as error:
        try:
            id = str(UUID(beginning))
        except ValueError:
            fail(f"PostgreSQL: {reason(error)}\nWithout it, give the whole ID of the order.")
        err.print(
            f"PostgreSQL: {reason(error)}. So only lines with the order's ID are shown.", markup=False, soft_wrap=True
        )
        return id, None
    order = orders.only(found, beginning)
    return str(order.id), order.trace_id
