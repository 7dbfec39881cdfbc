"""Webhooks: HTTP → use case."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from chassis.db import Database
from chassis.errors import NotFound
from payment import usecases
from payment.usecases import Provider

router = APIRouter(prefix="/api/payments", tags=["payments"])


@dataclass(frozen=True, slots=True)
class Webhooks:
    """What the process holds: who may call, and how the driver is woken."""

    db: Database
    providers: Mapping[str, Provider]
    wake: Callable[[], None]


def _webhooks(request: Request) -> Webhooks:
    webhooks: Webhooks = request.app.state.webhooks
    return webhooks


EVENT = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["order_id"],
                    "properties": {"order_id": {"type": "string", "format": "uuid"}},
                }
            }
        },
    }
}


@router.post("/webhooks/{provider}", status_code=204, openapi_extra=EVENT)
async def receive(provider: str, request: Request, webhooks: Annotated[Webhooks, Depends(_webhooks)]) -> Response:
    """A signed hint: the provider is asked about the order now, rather than when its time comes."""
    known = webhooks.providers.get(provider)
    if known is None:
        raise NotFound("unknown-provider", "No such provider", "See the service's settings.")
    hint = known.hinted(request.headers, await request.body())
    if await usecases.hint(webhooks.db, hint):
        webhooks.wake()
    return Response(status_code=204)
