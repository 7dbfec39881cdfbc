"""HTTP bodies of the providers, with the fields that we write and read."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec

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
