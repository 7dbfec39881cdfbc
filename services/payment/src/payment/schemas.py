"""HTTP bodies: of the providers, with the fields that we write and read, and of the back office."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from pydantic import BaseModel, Field

from chassis.queries import CanonicalId, Digits, Query
from payment.models import State

Reference = Annotated[str, msgspec.Meta(pattern=r"\A[!-~]{1,255}\Z")]


class ChargeRequest(msgspec.Struct, frozen=True):
    order_id: UUID
    amount: int
    currency: str
    payment_method: str


class RefundRequest(msgspec.Struct, frozen=True):
    order_id: UUID
    amount: int


class ProviderResult(msgspec.Struct, frozen=True):
    """The sandbox's charge or refund; both statuses are definite."""

    id: Reference
    status: Literal["succeeded", "failed"]
    reason: str | None = None


class ProviderCharge(ProviderResult, frozen=True, kw_only=True):
    """A charge in the sandbox's records."""

    key: str
    refunded: int


class ProviderCharges(msgspec.Struct, frozen=True):
    items: list[ProviderCharge]


class ProviderProblem(msgspec.Struct, frozen=True):
    """RFC 9457: `type` ends in a slug."""

    type: str


class Webhook(msgspec.Struct, frozen=True):
    """The sandbox's event: an order's charge or refund has changed."""

    order_id: UUID


class StripeMetadata(msgspec.Struct, frozen=True):
    order_id: UUID | None = None


class StripeSubject(msgspec.Struct, frozen=True):
    """The PaymentIntent, charge or refund that an event of Stripe is about. Ours carry the order ID."""

    object: str | None = None
    status: str | None = None
    metadata: StripeMetadata | None = None


class StripeData(msgspec.Struct, frozen=True):
    object: StripeSubject


class StripeEvent(msgspec.Struct, frozen=True):
    data: StripeData


class PaymentQuery(Query):
    state: State | None = None
    stuck: Annotated[Literal["true", "false"], Field(description="Only payments that a person must decide")] = "false"
    limit: Annotated[Digits, Field(ge=1, le=100)] = 20
    cursor: Annotated[CanonicalId, Field(description="the `next_cursor` of the previous page")] | None = None


class PaymentOut(BaseModel):
    """A payment as the back office sees it. One that was cancelled before its charge has no amount.

    `attempts` counts the calls in this state, and `stuck` means that a person must decide.
    """

    order_id: UUID
    state: State
    amount: int | None
    currency: str | None
    provider: str | None
    provider_reference: str | None
    reason: str | None
    stuck: bool
    attempts: int
    next_attempt_at: datetime | None
    created_at: datetime
    updated_at: datetime


class PaymentList(BaseModel):
    items: list[PaymentOut]
    next_cursor: UUID | None
