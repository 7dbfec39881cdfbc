"""HTTP to use cases."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response

from chassis.app import JsonBytes
from chassis.auth import Caller, Principal, principal, requires
from chassis.errors import Malformed, NotFound, Unavailable
from chassis.openapi import documented
from chassis.queries import CanonicalId, once
from chassis.schemas import parsed
from chassis.streams import EventStream
from order import repository
from order.models import Status, settled
from order.schemas import Accepted, AllQuery, Order, OrderPage, OwnQuery, PlaceOrderBody
from order.usecases import saga
from order.usecases.placing import PlaceOrder

__all__ = ["admin", "router"]

router = APIRouter(prefix="/api/orders", tags=["orders"])
admin = APIRouter(prefix="/api/admin/orders", tags=["admin"])

HEARTBEAT_SECONDS = 15.0
encode = msgspec.json.Encoder().encode
sorted_encode = msgspec.json.Encoder(order="sorted").encode

Manager = Annotated[Principal, Depends(requires("orders:manage"))]


KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "1–255 visible ASCII characters",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


@router.post(
    "",
    status_code=202,
    responses={202: {"model": Accepted}},
    openapi_extra={"parameters": [KEY], **documented(PlaceOrderBody)},
)
async def place(request: Request) -> JsonBytes:
    """Orders the caller's cart. The same key and body give the same answer, however often they are sent.

    The hottest route: it takes caller, key and body from the request itself, which halves the framework's share.
    """
    caller = await principal(request)
    idempotency_key = request.headers.get("idempotency-key")
    if not idempotency_key or len(idempotency_key) > 255 or not all("!" <= c <= "~" for c in idempotency_key):
        raise Malformed(
            "idempotency-key-required",
            "An Idempotency-Key header of 1 to 255 visible ASCII characters is required",
            "Make one up for each order, such as a UUID, and send it again with each retry.",
        )
    body = parsed(PlaceOrderBody, await request.body())
    content = body.model_dump(mode="json", exclude_none=True)
    placed = await request.app.state.placement.place(
        PlaceOrder(
            principal=caller.sub,
            token=caller.token,
            idempotency_key=idempotency_key,
            request_hash=hashlib.sha256(sorted_encode(content)).digest(),
            cart_version=body.cart_version,
            payment_method=body.payment_method,
            shipping_address=encode(content["shipping_address"]),
            expected_amount=body.expected_total.amount,
            expected_currency=body.expected_total.currency,
        )
    )
    headers = {"Location": f"/api/orders/{placed.order_id}"}
    if placed.replayed:
        headers["Idempotent-Replayed"] = "true"
    return JsonBytes(encode({"id": placed.order_id, "status": Status.PENDING.value}), 202, headers)


@router.get("", responses={200: {"model": OrderPage}})
async def list_own(request: Request, caller: Caller, query: Annotated[OwnQuery, Query()]) -> JsonBytes:
    """The caller's orders, newest first."""
    return await _page(request, caller.sub, None, query)


@router.get("/{order_id}", responses={200: {"model": Order}})
async def get_own(request: Request, order_id: CanonicalId, caller: Caller) -> JsonBytes:
    return JsonBytes(encode(await _order(request, order_id, caller.sub)))


@router.post("/{order_id}/cancel", status_code=202, responses={202: {"model": Order}})
async def cancel(request: Request, order_id: CanonicalId, caller: Caller) -> JsonBytes:
    """Undoes an order: what was reserved is released, what was paid is refunded."""
    await saga.cancel(request.app.state.db, order_id, caller.sub)
    return JsonBytes(encode(await _order(request, order_id, caller.sub)), 202)


@router.get(
    "/{order_id}/events",
    status_code=200,
    response_class=EventStream,
    responses={200: {"content": {"text/event-stream": {}}}, 204: {"description": "All has been seen: stop asking"}},
)
async def events(
    request: Request, order_id: CanonicalId, caller: Caller, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Each transition as a server-sent event, to the last; `Last-Event-ID` goes on after it.

    204 when there is nothing to come: by that an EventSource knows not to connect again (HTML, 9.2.3).
    """
    told = last_event_id or "0"
    if not (told.isascii() and told.isdigit() and len(told) < 6):
        raise Malformed("invalid-last-event-id", "Last-Event-ID is a number that this stream gave", "Leave it out.")
    order = await _found(request, order_id, caller.sub)
    seen = min(int(told), order["seq"])
    if seen == order["seq"] and settled(Status(order["status"])):
        return Response(status_code=204)
    if request.app.state.feed.full:
        raise Unavailable("too-busy", "Too many streams are open", "Read the order now and then.", retry_after=5)
    return EventStream(_stream(request, order_id, seen))


async def _stream(request: Request, order_id: UUID, seen: int) -> AsyncGenerator[bytes, None]:
    drained = asyncio.ensure_future(request.app.state.health.draining.wait())
    with request.app.state.feed.watch(order_id, seen) as steps:
        step = asyncio.ensure_future(steps.get())
        try:
            while True:
                await asyncio.wait({step, drained}, timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if step.done():
                    found = step.result()
                    yield b"id: %d\nevent: status\ndata: %s\n\n" % (found.seq, encode(found))
                    if found.last and steps.empty():
                        return
                    step = asyncio.ensure_future(steps.get())
                elif drained.done():  # this process is going: the client comes back to another with Last-Event-ID
                    return
                else:
                    yield b": still here\n\n"
        finally:
            step.cancel()
            drained.cancel()


@admin.get("", responses={200: {"model": OrderPage}})
async def list_all(request: Request, _: Manager, query: Annotated[AllQuery, Query()]) -> JsonBytes:
    """Everyone's orders, newest first."""
    return await _page(request, None, query.status, query)


@admin.get("/{order_id}", responses={200: {"model": Order}})
async def get_any(request: Request, order_id: CanonicalId, _: Manager) -> JsonBytes:
    return JsonBytes(encode(await _order(request, order_id, None)))


@admin.post("/{order_id}/refund", status_code=202, responses={202: {"model": Order}})
async def refund(request: Request, order_id: CanonicalId, _: Manager) -> JsonBytes:
    """Refunds a confirmed order in full and returns its stock."""
    await saga.refund(request.app.state.db, order_id)
    return JsonBytes(encode(await _order(request, order_id, None)), 202)


async def _order(request: Request, order_id: UUID, principal: str | None) -> dict[str, Any]:
    row = await _found(request, order_id, principal)
    return {**_summary(row), "history": msgspec.Raw(row["history"].encode())}


async def _found(request: Request, order_id: UUID, principal: str | None) -> asyncpg.Record:
    async with request.app.state.db.connection() as connection:
        row = await repository.get(connection, order_id, principal)
    if row is None:
        raise NotFound("order-not-found", "No such order", "See GET /api/orders for yours.")
    return row


async def _page(request: Request, principal: str | None, status: Status | None, query: OwnQuery) -> JsonBytes:
    once(request)
    limit = query.limit
    async with request.app.state.db.connection() as connection:
        rows = await repository.latest(connection, principal, status, query.cursor, limit + 1)
    more = len(rows) > limit
    return JsonBytes(
        encode(
            {
                "items": [_summary(row) for row in rows[:limit]],
                "next_cursor": rows[limit - 1]["id"] if more else None,
            }
        )
    )


def _summary(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "id": row["id"],
        "status": row["status"],
        "total": {"amount": row["total"], "currency": row["currency"]},
        "lines": msgspec.Raw(row["lines"].encode()),
        "shipping_address": msgspec.Raw(row["shipping_address"].encode()),
        "created_at": row["created_at"],
        "expires_at": row["expires_at"],
    }
