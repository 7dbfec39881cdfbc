"""The HTTP routes of payment: webhooks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from chassis.app import parts
from chassis.db import Database
from chassis.errors import NotFound
from payment import usecases
from payment.usecases import Provider

router = APIRouter(prefix="/api/payments", tags=["payments"])


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


@router.post("/webhooks/{provider}", status_code=204, openapi_extra=EVENT)
async def receive(provider: str, request: Request, given: Given) -> Response:
    """Accepts a signed hint: the provider is asked about the order now, and not at the next scheduled time."""
    known = given.providers.get(provider)
    if known is None:
        raise NotFound("unknown-provider", "No such provider", "See the service's settings.")
    hint = known.hinted(request.headers, await request.body())
    if hint is not None and await usecases.hint(given.db, hint):
        given.wake()
    return Response(status_code=204)
