"""The commands and events that catalog publishes, and its own copy of those that it consumes."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

import msgspec

from chassis.messages import Message

__all__ = [
    "PUBLISHED",
    "Line",
    "OrderConfirmed",
    "Reason",
    "ReleaseStock",
    "ReserveStock",
    "StockRejected",
    "StockReserved",
]

Reason = Literal["sold-out", "released", "unknown-sku"]


class Line(msgspec.Struct, frozen=True):
    """A quantity of one SKU."""

    sku: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    quantity: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class ReserveStock(Message):
    """Asks to hold stock for all lines or none. The reply is StockReserved or StockRejected."""

    type: ClassVar[str] = "catalog.reserve-stock.v1"
    order_id: UUID
    lines: Annotated[tuple[Line, ...], msgspec.Meta(min_length=1, max_length=100)]


class ReleaseStock(Message):
    """Asks to release all stock that is held or sold for this order. There is no reply."""

    type: ClassVar[str] = "catalog.release-stock.v1"
    order_id: UUID


class OrderConfirmed(Message):
    """The order is paid, so the stock it holds is sold. Catalog ignores the event's other fields."""

    type: ClassVar[str] = "order.confirmed.v1"
    order_id: UUID


class StockReserved(Message):
    """Stock is held for all lines."""

    type: ClassVar[str] = "catalog.stock-reserved.v1"
    consumers = ("order",)
    order_id: UUID


class StockRejected(Message):
    """Nothing is held. `skus` are unknown or sold out; `skus` is empty if the order was already released."""

    type: ClassVar[str] = "catalog.stock-rejected.v1"
    consumers = ("order",)
    order_id: UUID
    skus: tuple[str, ...]
    reason: Reason


PUBLISHED = (StockReserved, StockRejected)
