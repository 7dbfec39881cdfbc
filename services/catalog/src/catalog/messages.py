"""Commands and events that the catalogue consumes (its own copy) and publishes."""

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
    """So many pieces of one SKU."""

    sku: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    quantity: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class ReserveStock(Message):
    """Do: hold all lines or none. Answered by StockReserved or StockRejected."""

    type: ClassVar[str] = "catalog.reserve-stock.v1"
    order_id: UUID
    lines: Annotated[tuple[Line, ...], msgspec.Meta(min_length=1, max_length=100)]


class ReleaseStock(Message):
    """Undo: end with nothing held or sold for this order. Has no answer."""

    type: ClassVar[str] = "catalog.release-stock.v1"
    order_id: UUID


class OrderConfirmed(Message):
    """The order is paid: what it holds is sold. What else the event carries is not read here."""

    type: ClassVar[str] = "order.confirmed.v1"
    order_id: UUID


class StockReserved(Message):
    """All lines are held."""

    type: ClassVar[str] = "catalog.stock-reserved.v1"
    consumers = ("order",)
    order_id: UUID


class StockRejected(Message):
    """Nothing is held; `skus` are those that fell short (none when the order was released before)."""

    type: ClassVar[str] = "catalog.stock-rejected.v1"
    consumers = ("order",)
    order_id: UUID
    skus: tuple[str, ...]
    reason: Reason


PUBLISHED = (StockReserved, StockRejected)
