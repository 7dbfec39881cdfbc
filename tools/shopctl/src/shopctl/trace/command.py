"""The command that draws what happened to an order."""

import asyncio
from datetime import UTC
from typing import Annotated

import typer

from shopctl.console import fail, out, reason
from shopctl.place import Place
from shopctl.trace import history, jaeger, tree
from shopctl.trace.order import UNREACHABLE, Order, find


def trace(
    order_id: Annotated[str, typer.Argument(metavar="ORDER-ID", help="An order's ID, or its beginning.")],
    from_history: Annotated[
        bool, typer.Option("--history", help="Show the statuses and messages, even if Jaeger has a trace.")
    ] = False,
) -> None:
    """Draw what happened to an order: the spans of its trace or, if there is none, its statuses and messages.

    The trace comes from the Jaeger of the observed shop (`make up OBSERVE=1`), or from the one of SHOP_JAEGER_URL.
    """
    place = Place.here()
    order = find(place, order_id)
    steps, source = ([], "") if from_history else _from_jaeger(place, order)
    if not steps:
        why = f" ({source})" if source else ""
        source = f"statuses and messages, from the databases{why}"
        try:
            steps = asyncio.run(history.steps(place, order))
        except UNREACHABLE as error:
            fail(f"PostgreSQL: {reason(error)}")
    at = order.created_at.astimezone(UTC)
    out.print(f"order {order.id}  [bold]{order.status}[/bold]  placed {at:%Y-%m-%d %H:%M:%S} UTC", soft_wrap=True)
    out.print(f"{source}\n", markup=False, soft_wrap=True)
    tree.draw(out, steps)


def _from_jaeger(place: Place, order: Order) -> tuple[list[tree.Step], str]:
    """The spans of an order and their source; or none, and why there are none."""
    url = place.jaeger_url
    if url is None:
        return [], "there is no Jaeger: `make up OBSERVE=1` starts one, in containers"
    try:
        return jaeger.steps(url, order), f"trace {order.trace_id or ''} from Jaeger at {url}"
    except jaeger.NoTrace as error:
        return [], str(error)
