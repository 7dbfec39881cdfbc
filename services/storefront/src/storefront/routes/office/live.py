"""The live map: the shop as it works, and the way of one order through it."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends
from starlette.responses import Response

from storefront.models.mapping import FRAMES
from storefront.models.ways import way_of
from storefront.routes.forms import Form
from storefront.routes.office.desk import CATALOG, ORDERS, Desk, desk, found
from storefront.routes.office.orders import id_of
from storefront.usecases.live import CURVES, SHOWN_SECONDS
from storefront.usecases.office import AnyOrder, AnyOrders
from storefront.usecases.remote import Refused

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

LATEST = 6
WIDTH, HEIGHT = 300, 60
"""Of a curve, in its own units."""


class Spark(NamedTuple):
    """A curve: SVG paths of its line and of the area below it, its last value and its highest one."""

    line: str
    area: str
    last: float | None
    most: float


@router.get("/admin/live")
async def live(desk: Annotated[Desk, Depends(desk(CATALOG, ORDERS))]) -> Response:
    """Shows the latest scene of the shop. `order` is the ID of an order whose way is lit up."""
    if desk.given.live is None:
        return await desk.page("office_live_help.html")
    typed = Form(desk.request.query_params).text("order")[:64]
    seen, latest, order = await asyncio.gather(desk.given.live.look(), _latest(desk), _order(desk, typed))
    scene = seen.scene
    return await desk.page(
        "office_live.html",
        scene=scene,
        fresh=seen.fresh,
        frames=FRAMES,
        sparks={name: _spark(scene.curves.get(name, ()), scene.at.timestamp()) for name in CURVES} if scene else {},
        typed=typed,
        latest=latest,
        order=order,
        way=way_of([step.status for step in order.history]) if order else None,
    )


async def _latest(desk: Desk) -> AnyOrders | None:
    """Returns the newest orders; none for an account that may not see orders, and None if order fails."""
    if ORDERS not in desk.scopes:
        return AnyOrders([])
    return await found(desk.office.orders.list(desk.token, limit=LATEST))


async def _order(desk: Desk, typed: str) -> AnyOrder | None:
    """Returns the order with a typed ID; None if there is none, or if order fails."""
    id = id_of(typed)
    if id is None or ORDERS not in desk.scopes:
        return None
    try:
        return await found(desk.office.orders.get(desk.token, id))
    except Refused as refused:
        if refused.status != 404:
            raise
        return None


def _spark(points: Sequence[tuple[float, float]], end: float) -> Spark:
    if not points:
        return Spark("", "", None, 0.0)
    start, most = end - SHOWN_SECONDS, max(value for _, value in points)
    places = [
        (
            round(max(0.0, at - start) / SHOWN_SECONDS * WIDTH, 1),
            round(HEIGHT - 3 - value / (most or 1) * (HEIGHT - 8), 1),
        )
        for at, value in points
    ]
    line = "M" + "L".join(f"{x:g} {y:g}" for x, y in places)
    return Spark(line, f"{line}L{places[-1][0]:g} {HEIGHT}L{places[0][0]:g} {HEIGHT}Z", points[-1][1], most)
