"""The first page of the back office: what needs attention."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from storefront.routes.forms import Form
from storefront.routes.office.desk import CATALOG, ORDERS, Desk, desk, found
from storefront.usecases.office import DEAD_LETTERS, AnyOrders, ManagedProducts, Payment

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

WAITING_SECONDS = 300
"""A step usually takes less than a second, so an order that has waited for five minutes is stuck."""
BELOW = 5
SHOWN = 10


@router.get("/admin")
async def overview(desk: Annotated[Desk, Depends(desk(CATALOG, ORDERS))]) -> Response:
    """Shows each part that the account may see. A part whose service fails is missing, and the page says so."""
    below = Form(desk.request.query_params).number("below")
    below = BELOW if below is None or below > 10**9 else below
    orders, payments, letters, products = await asyncio.gather(
        _orders(desk), found(_payments(desk)), _dead_letters(desk), _products(desk, below)
    )
    return await desk.page(
        "office.html",
        orders=orders,
        payments=payments,
        letters=letters,
        products=products,
        below=below,
        waiting=WAITING_SECONDS,
    )


async def _orders(desk: Desk) -> AnyOrders | None:
    if ORDERS not in desk.scopes:
        return None
    return await found(desk.office.orders.list(desk.token, waiting_seconds=WAITING_SECONDS, limit=SHOWN))


async def _payments(desk: Desk) -> list[Payment]:
    """Returns payments whose outcome is unknown, and those that a person must decide, newest order first."""
    if ORDERS not in desk.scopes:
        return []
    unknown, stuck = await asyncio.gather(
        desk.office.payments.list(desk.token, state="UNKNOWN", limit=SHOWN),
        desk.office.payments.list(desk.token, stuck="true", limit=SHOWN),
    )
    both = {each.order_id: each for each in (*unknown.items, *stuck.items)}
    return [both[id] for id in sorted(both, reverse=True)]


async def _dead_letters(desk: Desk) -> dict[str, int | None]:
    """Returns the number of each service; None for one that could not be asked."""
    if ORDERS not in desk.scopes:
        return {}
    counts = await asyncio.gather(
        *(found(desk.office.messages.dead_letters(desk.token, service)) for service in DEAD_LETTERS)
    )
    return {
        service: None if count is None else count.messages for service, count in zip(DEAD_LETTERS, counts, strict=True)
    }


async def _products(desk: Desk, below: int) -> ManagedProducts | None:
    if CATALOG not in desk.scopes:
        return None
    return await found(desk.office.catalog.list(desk.token, hidden="false", below=below, sort="available", limit=SHOWN))
