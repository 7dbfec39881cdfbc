"""The HTTP routes of payment: webhooks, and the back office's view of payments."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from chassis import tracing
from chassis.app import JsonBytes, parts
from chassis.auth import requires
from chassis.db import Database
from chassis.errors import NotFound
from chassis.queries import CanonicalId, once
from payment import repository, usecases
from payment.schemas import PaymentList, PaymentOut, PaymentQuery
from payment.usecases import Provider

router = APIRouter(prefix="/api/payments", tags=["payments"])
admin = APIRouter(prefix="/api/admin/payments", tags=["admin"], dependencies=[Depends(requires("orders:manage"))])


@dataclass(frozen=True, slots=True)
class Parts:
    """The objects that the routes need. `wake` makes the driver look for due payments."""

    db: Database
    providers: Mapping[str, Provider]
    wake: Callable[[], None]


Given = Annotated[Parts, Depends(parts(Parts))]

EVENT = {
    "requestBody": {
        "required": True,
        "description": "The provider's own event, signed by it: of `psp` an object with an `order_id`.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


@router.post("/webhooks/{provider}", summary="Receive a webhook", status_code=204, openapi_extra=EVENT)
async def receive(provider: str, request: Request, given: Given) -> Response:
    """Accepts a signed hint: the provider is asked about the order now, and not at the next scheduled time."""
    known = given.providers.get(provider)
    if known is None:
        raise NotFound("unknown-provider", "No such provider", "See the service's settings.")
    hint = known.hinted(request.headers, await request.body())
    if hint is not None:
        tracing.describe("quayside.order.id", str(hint.order_id))
    if hint is not None and await usecases.hint(given.db, hint):
        given.wake()
    return Response(status_code=204)


@admin.get("", responses={200: {"model": PaymentList}})
async def find(request: Request, given: Given, query: Annotated[PaymentQuery, Query()]) -> JsonBytes:
    """Lists payments, newest first."""
    once(request)
    async with given.db.connection() as connection:
        found = await repository.latest(connection, query.state, query.stuck == "true", query.cursor, query.limit + 1)
    items = found[: query.limit]
    after = items[-1]["order_id"] if len(found) > len(items) else None
    return JsonBytes(msgspec.json.encode({"items": items, "next_cursor": after}))


@admin.get("/{order_id}", responses={200: {"model": PaymentOut}})
async def read(order_id: CanonicalId, given: Given) -> JsonBytes:
    """Returns the payment of an order."""
    tracing.describe("quayside.order.id", str(order_id))
    async with given.db.connection() as connection:
        found = await repository.get(connection, order_id)
    if found is None:
        raise NotFound("unknown-payment", "The order has no payment", "See GET /api/admin/payments.")
    return JsonBytes(msgspec.json.encode(found))
