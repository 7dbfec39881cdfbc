"""HTTP bodies: the provider's, as far as we read them."""

from typing import Literal
from uuid import UUID

import msgspec


class ChargeRequest(msgspec.Struct, frozen=True):
    order_id: UUID
    amount: int
    currency: str
    payment_method: str


class RefundRequest(msgspec.Struct, frozen=True):
    order_id: UUID
    amount: int


class ProviderResult(msgspec.Struct, frozen=True):
    """A charge or a refund; both statuses are definite."""

    status: Literal["succeeded", "failed"]
    reason: str | None = None


class ProviderCharge(ProviderResult, frozen=True, kw_only=True):
    """A charge in the provider's records."""

    key: str
    refunded: int


class ProviderCharges(msgspec.Struct, frozen=True):
    items: list[ProviderCharge]


class ProviderProblem(msgspec.Struct, frozen=True):
    """RFC 9457: `type` ends in a slug."""

    type: str


class Webhook(msgspec.Struct, frozen=True):
    """A hint that something became of an order's charge or refund."""

    order_id: UUID
