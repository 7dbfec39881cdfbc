"""The messages that order publishes, each with its consumers, and those that it consumes."""

from typing import ClassVar
from uuid import UUID

import msgspec

from chassis.messages import Message

__all__ = [
    "PUBLISHED",
    "CancelPayment",
    "Charge",
    "Line",
    "OrderConfirmed",
    "PaymentCancelled",
    "PaymentCaptured",
    "PaymentFailed",
    "ReleaseStock",
    "ReserveStock",
    "StockRejected",
    "StockReserved",
]


class Line(msgspec.Struct, frozen=True):
    sku: str
    quantity: int


class ReserveStock(Message):
    type: ClassVar[str] = "catalog.reserve-stock.v1"
    consumers = ("catalog",)
    order_id: UUID
    lines: list[Line]


class ReleaseStock(Message):
    """Undoes ReserveStock: afterwards no stock is held or sold for this order."""

    type: ClassVar[str] = "catalog.release-stock.v1"
    consumers = ("catalog",)
    order_id: UUID


class Charge(Message):
    type: ClassVar[str] = "payment.charge.v1"
    consumers = ("payment",)
    order_id: UUID
    amount: int
    currency: str
    payment_method: str


class CancelPayment(Message):
    """Undoes Charge: afterwards no money is captured for this order."""

    type: ClassVar[str] = "payment.cancel.v1"
    consumers = ("payment",)
    order_id: UUID


class OrderConfirmed(Message):
    type: ClassVar[str] = "order.confirmed.v1"
    consumers = ("catalog", "cart")
    order_id: UUID
    sub: str
    cart_version: str
    lines: list[Line]


PUBLISHED = (ReserveStock, ReleaseStock, Charge, CancelPayment, OrderConfirmed)


class StockReserved(Message):
    type: ClassVar[str] = "catalog.stock-reserved.v1"
    order_id: UUID


class StockRejected(Message):
    type: ClassVar[str] = "catalog.stock-rejected.v1"
    order_id: UUID
    skus: tuple[str, ...] = ()
    reason: str = "sold-out"


class PaymentCaptured(Message):
    type: ClassVar[str] = "payment.captured.v1"
    order_id: UUID


class PaymentFailed(Message):
    type: ClassVar[str] = "payment.failed.v1"
    order_id: UUID
    reason: str


class PaymentCancelled(Message):
    type: ClassVar[str] = "payment.cancelled.v1"
    order_id: UUID
    refunded: bool
