"""A shopper's orders: the history, an order with its steps as they happen, and what can be done with it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from starlette.responses import Response

from chassis.errors import Unavailable
from chassis.health import Draining
from chassis.streams import EventStream
from storefront.models import progress
from storefront.routes.cart import unreachable
from storefront.routes.forms import form_of, local, see_other
from storefront.routes.pages import PRIVATE, language_for
from storefront.routes.visits import Given, Visiting
from storefront.schemas import ID
from storefront.usecases import orders
from storefront.usecases.cart import accept_prices
from storefront.usecases.remote import Events

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

NOTICES = frozenset({"too-late", "placed-before"})


def order_id(id: str) -> str:
    if not ID.fullmatch(id):
        raise orders.not_found()
    return id


OrderId = Annotated[str, Depends(order_id)]


@router.get("/orders")
async def history(request: Request, given: Given, visit: Visiting, cursor: str = "", notice: str = "") -> Response:
    """Lists the orders, newest first; on the first page, also those from before the login."""
    tokens = await orders.tokens_of(visit)
    before = cursor if ID.fullmatch(cursor) else None
    own, guests = await orders.history(given.orders, tokens, before)
    return await given.pages.render(request, "orders.html", 200, PRIVATE, orders=own, guests=guests, notice=notice)


@router.get("/orders/{id}")
async def one(request: Request, given: Given, visit: Visiting, id: OrderId, notice: str = "") -> Response:
    order = await orders.find(given.orders, await orders.tokens_of(visit), id)
    products = await orders.products_of(given.catalog, order)
    last = order.history[-1] if order.history else None
    return await given.pages.render(
        request,
        "order.html",
        200,
        PRIVATE,
        order=order,
        products=products,
        settled=progress.settled(order.status),
        cancellable=order.status in progress.CANCELLABLE,
        failed=progress.FAILED - {"CANCELLED"},  # the shopper wanted that
        following=progress.NEXT.get(order.status, ()),
        made=progress.MADE,
        failure=progress.failure_of(last.reason if last else None),
        country=dict(language_for(request).countries()).get(order.shipping_address.country),
        notice=notice if notice in NOTICES else "",
    )


@router.post("/orders/{id}/cancel")
async def cancel(given: Given, visit: Visiting, id: OrderId) -> Response:
    done = await orders.cancel(given.orders, await orders.tokens_of(visit), id)
    return see_other(f"/orders/{id}" if done else f"/orders/{id}?notice=too-late")


@router.post("/orders/{id}/again")
async def again(request: Request, given: Given, visit: Visiting, id: OrderId) -> Response:
    """Puts the order's lines into the cart, and goes to the page `to`."""
    form = await form_of(request)
    tokens = await orders.tokens_of(visit)
    order = await orders.find(given.orders, tokens, id)
    try:
        complete = await orders.order_again(given.carts, tokens[0], order)
    except Unavailable:
        return await unreachable(request, given)
    if visit.id:
        await accept_prices(given.sessions, visit.id, [line.sku for line in order.lines])
    return see_other(local(form.text("to"), "/cart") if complete else "/cart?notice=incomplete")


@router.get("/orders/{id}/events")
async def events(
    given: Given,
    visit: Visiting,
    draining: Draining,
    id: OrderId,
    last_event_id: Annotated[str | None, Header(max_length=10)] = None,
) -> Response:
    """Passes on the server-sent events of an order; 204 if no step can follow."""
    for token in await orders.tokens_of(visit):
        async with AsyncExitStack() as opening:
            stream = await opening.enter_async_context(given.orders.events(token, id, last_event_id))
            if stream.status == 200:
                relay = _relayed(opening.pop_all(), stream, draining)
                await anext(relay)  # from here on, closing the generator closes the stream
                return EventStream(relay)
            if stream.status == 204:
                return Response(status_code=204)
    raise orders.not_found()


async def _relayed(opened: AsyncExitStack, stream: Events, draining: asyncio.Event) -> AsyncGenerator[bytes, None]:
    """Yields a stream's bytes until it ends, or this process stops: the browser then reconnects to another one."""
    drained = asyncio.ensure_future(draining.wait())
    async with opened:
        chunk = asyncio.ensure_future(anext(stream.chunks, b""))
        try:
            yield b""
            while True:
                await asyncio.wait({chunk, drained}, return_when=asyncio.FIRST_COMPLETED)
                if not chunk.done() or not (found := chunk.result()):
                    return
                yield found
                chunk = asyncio.ensure_future(anext(stream.chunks, b""))
        except Unavailable:  # order was restarted, for example
            return
        finally:
            chunk.cancel()
            drained.cancel()
