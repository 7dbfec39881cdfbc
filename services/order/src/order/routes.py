"""The HTTP routes of order."""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response

from chassis import tracing
from chassis.admission import Kind
from chassis.app import JsonBytes, parts
from chassis.auth import Authenticated, Principal, authenticate, requires
from chassis.db import Database
from chassis.errors import Malformed, Unavailable
from chassis.health import Draining
from chassis.openapi import documented
from chassis.queries import CanonicalId, once
from chassis.schemas import parsed
from chassis.streams import EventStream
from order import repository
from order.models import Status, settled
from order.schemas import (
    Accepted,
    AllQuery,
    AnyOrder,
    AnyOrderPage,
    AuditBody,
    Order,
    OrderPage,
    OwnQuery,
    PlaceOrderBody,
)
from order.usecases import saga
from order.usecases.feed import Feed
from order.usecases.placing import Placement, PlaceOrder

__all__ = ["KINDS", "Parts", "admin", "router"]

router = APIRouter(prefix="/api/orders", tags=["orders"])
admin = APIRouter(prefix="/api/admin/orders", tags=["admin"])

KINDS = (
    Kind("buying", 64, re.compile(r"POST /api/orders"), from_edge=True),
    Kind("browsing", 64, re.compile(r"(GET|HEAD) /api/orders"), from_edge=True),
)
"""What is bounded: new orders and lists of orders, but no request for one order."""

HEARTBEAT_SECONDS = 15.0
encode = msgspec.json.Encoder().encode
sorted_encode = msgspec.json.Encoder(order="sorted").encode

Manager = Annotated[Principal, Depends(requires("orders:manage"))]


@dataclass(frozen=True, slots=True)
class Parts:
    """The objects that the routes need."""

    db: Database
    placement: Placement
    feed: Feed


given = parts(Parts)
Given = Annotated[Parts, Depends(given)]

KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "1–255 visible ASCII characters",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


@router.post(
    "",
    summary="Place an order",
    status_code=202,
    responses={202: {"model": Accepted}},
    openapi_extra={"parameters": [KEY], **documented(PlaceOrderBody)},
)
async def place(request: Request) -> JsonBytes:
    """Orders the principal's cart. Repeating the request with the same key and body returns the same response."""
    principal = await authenticate(request)
    idempotency_key = request.headers.get("idempotency-key")
    if not idempotency_key or len(idempotency_key) > 255 or not all("!" <= c <= "~" for c in idempotency_key):
        raise Malformed(
            "idempotency-key-required",
            "An Idempotency-Key header of 1 to 255 visible ASCII characters is required",
            "Generate one for each order, such as a UUID, and repeat it in each retry.",
        )
    body = parsed(PlaceOrderBody, await request.body())
    content = body.model_dump(mode="json", exclude_none=True)
    placed = await (await given(request)).placement.place(
        PlaceOrder(
            principal=principal.sub,
            token=principal.token,
            idempotency_key=idempotency_key,
            request_hash=hashlib.sha256(sorted_encode(content)).digest(),
            cart_version=body.cart_version,
            payment_method=body.payment_method,
            shipping_address=encode(content["shipping_address"]),
            expected_amount=body.expected_total.amount,
            expected_currency=body.expected_total.currency,
        )
    )
    tracing.describe("quayside.order.id", str(placed.order_id))
    headers = {"Location": f"/api/orders/{placed.order_id}"}
    if placed.replayed:
        headers["Idempotent-Replayed"] = "true"
    return JsonBytes(encode({"id": placed.order_id, "status": Status.PENDING.value}), 202, headers)


@router.get("", summary="List your orders", responses={200: {"model": OrderPage}})
async def list_own(
    request: Request, given: Given, principal: Authenticated, query: Annotated[OwnQuery, Query()]
) -> JsonBytes:
    """Lists the principal's orders, newest first."""
    once(request)
    return await _page(given.db, query, False, principal=principal.sub)


@router.get("/{order_id}", summary="Read an order", responses={200: {"model": Order}})
async def get_own(given: Given, order_id: CanonicalId, principal: Authenticated) -> JsonBytes:
    """Returns an order of the principal, with its history."""
    return await _order(given.db, order_id, principal)


@router.post("/{order_id}/cancel", summary="Cancel an order", status_code=202, responses={202: {"model": Order}})
async def cancel(given: Given, order_id: CanonicalId, principal: Authenticated) -> JsonBytes:
    """Undoes an order: its stock is released, and a captured payment is refunded."""
    await saga.cancel(given.db, order_id, principal.sub)
    return await _order(given.db, order_id, principal, 202)


@router.get(
    "/{order_id}/events",
    summary="Follow an order",
    status_code=200,
    response_class=EventStream,
    responses={200: {"content": {"text/event-stream": {}}}, 204: {"description": "No step can follow"}},
)
async def events(
    given: Given,
    draining: Draining,
    order_id: CanonicalId,
    principal: Authenticated,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Streams each step of an order as a server-sent event, until the last; `Last-Event-ID` resumes after that step.

    The response is 204 if no step can follow; an EventSource then does not reconnect (HTML, 9.2.3).
    """
    told = last_event_id or "0"
    if not (told.isascii() and told.isdigit() and len(told) < 6):
        raise Malformed(
            "invalid-last-event-id", "Last-Event-ID is not an ID of this stream", "Repeat the last ID, or send none."
        )
    order = await _found(given.db, order_id, principal.sub)
    seen = min(int(told), order["seq"])
    if seen == order["seq"] and settled(Status(order["status"])):
        return Response(status_code=204)
    if given.feed.full:
        raise Unavailable("too-busy", "Too many streams are open", "Poll the order instead.", retry_after=5)
    return EventStream(_stream(given.feed, draining, order_id, seen))


async def _stream(feed: Feed, draining: asyncio.Event, order_id: UUID, seen: int) -> AsyncGenerator[bytes, None]:
    drained = asyncio.ensure_future(draining.wait())
    with feed.watch(order_id, seen) as steps:
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
                elif drained.done():  # this process stops: the client reconnects to another one with Last-Event-ID
                    return
                else:
                    yield b": still here\n\n"
        finally:
            step.cancel()
            drained.cancel()


@admin.get("", responses={200: {"model": AnyOrderPage}})
async def list_all(request: Request, given: Given, _: Manager, query: Annotated[AllQuery, Query()]) -> JsonBytes:
    """Lists the orders of all principals, or of one, newest first."""
    once(request)
    filters = query.model_dump(exclude={"cursor", "limit"})
    return await _page(given.db, query, True, **filters)


@admin.put("/audit", status_code=204)
async def report_audit(given: Given, _: Manager, body: AuditBody) -> Response:
    """Stores what `shopctl audit` found, for the metrics."""
    async with given.db.connection() as connection:
        await repository.replace_audit(connection, body.findings)
    return Response(status_code=204)


@admin.get("/{order_id}", responses={200: {"model": AnyOrder}})
async def get_any(given: Given, order_id: CanonicalId, manager: Manager) -> JsonBytes:
    """Returns an order of any principal, with its history."""
    return await _order(given.db, order_id, manager, managed=True)


@admin.post("/{order_id}/refund", status_code=202, responses={202: {"model": AnyOrder}})
async def refund(given: Given, order_id: CanonicalId, manager: Manager) -> JsonBytes:
    """Refunds a confirmed order in full and releases its stock."""
    await saga.refund(given.db, order_id)
    return await _order(given.db, order_id, manager, 202, managed=True)


async def _order(
    db: Database, order_id: UUID, principal: Principal, status: int = 200, *, managed: bool = False
) -> JsonBytes:
    """Returns an order of this principal or, if `managed`, of anybody, and then whose it is."""
    row = await _found(db, order_id, None if managed else principal.sub)
    shown = _summary(row, managed) | {"history": msgspec.Raw(row["history"].encode())}
    if "orders:manage" in principal.scopes:
        trace = tracing.extract(row["traceparent"])
        shown["trace_id"] = None if trace is None else trace.trace_id
    return JsonBytes(encode(shown), status)


async def _found(db: Database, order_id: UUID, principal: str | None) -> asyncpg.Record:
    tracing.describe("quayside.order.id", str(order_id))
    async with db.connection() as connection:
        row = await repository.get(connection, order_id, principal)
    if row is None:
        raise saga.order_not_found()
    return row


async def _page(db: Database, query: OwnQuery, managed: bool, **filters: Any) -> JsonBytes:
    limit = query.limit
    async with db.connection() as connection:
        rows = await repository.latest(connection, limit + 1, before=query.cursor, **filters)
    more = len(rows) > limit
    return JsonBytes(
        encode(
            {
                "items": [_summary(row, managed) for row in rows[:limit]],
                "next_cursor": rows[limit - 1]["id"] if more else None,
            }
        )
    )


def _summary(row: asyncpg.Record, managed: bool) -> dict[str, Any]:
    return {
        "id": row["id"],
        **({"principal": row["principal"]} if managed else {}),
        "status": row["status"],
        "total": {"amount": row["total"], "currency": row["currency"]},
        "lines": msgspec.Raw(row["lines"].encode()),
        "shipping_address": msgspec.Raw(row["shipping_address"].encode()),
        "created_at": row["created_at"],
        "expires_at": row["expires_at"],
    }
