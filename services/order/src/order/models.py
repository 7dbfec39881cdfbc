"""The order's state machine, a pure function: `(status, input) → (status, commands)`."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from chassis.messages import Message
from order.messages import CancelPayment, Charge, Line, OrderConfirmed, ReleaseStock, ReserveStock

__all__ = [
    "FAILED",
    "OPEN",
    "TRANSITIONS",
    "UNDO",
    "UNDOING",
    "Command",
    "Input",
    "NewOrder",
    "OrderLine",
    "Status",
    "Transition",
    "results",
    "settled",
    "transition",
]


class Status(StrEnum):
    PENDING = "PENDING"
    RESERVED = "RESERVED"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    EXPIRING = "EXPIRING"
    EXPIRED = "EXPIRED"
    REFUNDING = "REFUNDING"
    REFUNDED = "REFUNDED"


OPEN = frozenset({Status.PENDING, Status.RESERVED})
"""The saga runs; an order that stays in these states too long expires."""
UNDOING = frozenset({Status.CANCELLING, Status.EXPIRING, Status.REFUNDING})
"""The undo commands have been sent, and are sent again until they are answered."""
FAILED = frozenset({Status.REJECTED, Status.PAYMENT_FAILED, Status.CANCELLED, Status.EXPIRED})
"""Nothing was sold, so the same version of the cart can be ordered again."""


def settled(status: Status) -> bool:
    """Returns whether the saga has ended. Only a cancel or a refund of a confirmed order starts it again."""
    return status not in OPEN | UNDOING


class Input(StrEnum):
    STOCK_RESERVED = "stock-reserved"
    STOCK_REJECTED = "stock-rejected"
    CAPTURED = "captured"
    PAYMENT_FAILED = "payment-failed"
    PAYMENT_CANCELLED = "payment-cancelled"
    CANCEL = "cancel"
    EXPIRE = "expire"
    REFUND = "refund"


Command = type[Message]
UNDO: tuple[Command, ...] = (ReleaseStock, CancelPayment)


@dataclass(frozen=True, slots=True)
class Transition:
    status: Status
    commands: tuple[Command, ...] = ()


TRANSITIONS: dict[tuple[Status, Input], Transition] = {
    (Status.PENDING, Input.STOCK_RESERVED): Transition(Status.RESERVED, (Charge,)),
    (Status.PENDING, Input.STOCK_REJECTED): Transition(Status.REJECTED),
    (Status.PENDING, Input.CANCEL): Transition(Status.CANCELLING, UNDO),
    (Status.PENDING, Input.EXPIRE): Transition(Status.EXPIRING, UNDO),
    (Status.RESERVED, Input.CAPTURED): Transition(Status.CONFIRMED, (OrderConfirmed,)),
    (Status.RESERVED, Input.PAYMENT_FAILED): Transition(Status.PAYMENT_FAILED, (ReleaseStock,)),
    (Status.RESERVED, Input.CANCEL): Transition(Status.CANCELLING, UNDO),
    (Status.RESERVED, Input.EXPIRE): Transition(Status.EXPIRING, UNDO),
    (Status.CONFIRMED, Input.CANCEL): Transition(Status.REFUNDING, UNDO),
    (Status.CONFIRMED, Input.REFUND): Transition(Status.REFUNDING, UNDO),
    (Status.CANCELLING, Input.PAYMENT_CANCELLED): Transition(Status.CANCELLED),
    (Status.EXPIRING, Input.PAYMENT_CANCELLED): Transition(Status.EXPIRED),
    (Status.REFUNDING, Input.PAYMENT_CANCELLED): Transition(Status.REFUNDED),
}


def transition(status: Status, input: Input) -> Transition | None:
    """Returns the transition, or None if the input has no effect: it is late, repeated, or comes after an undo."""
    return TRANSITIONS.get((status, input))


def results(input: Input) -> set[Status]:
    """Returns the states that an input leads to, and those that follow them."""
    found = {step.status for (_, each), step in TRANSITIONS.items() if each is input}
    while more := {step.status for (status, _), step in TRANSITIONS.items() if status in found} - found:
        found |= more
    return found


@dataclass(frozen=True, slots=True)
class OrderLine:
    """A line with its price at the time of the order. `unit_price` is in minor units."""

    sku: str
    name: str
    quantity: int
    unit_price: int


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order that is not stored yet. `total` is in minor units; `shipping_address` is JSON.

    `traceparent` is the trace of the request; the order's messages continue it.
    """

    id: UUID
    principal: str
    idempotency_key: str
    request_hash: bytes
    cart_version: str
    payment_method: str
    shipping_address: bytes
    lines: tuple[OrderLine, ...]
    total: int
    currency: str
    traceparent: str | None = None

    def reserve(self) -> ReserveStock:
        return ReserveStock(order_id=self.id, lines=[Line(line.sku, line.quantity) for line in self.lines])
