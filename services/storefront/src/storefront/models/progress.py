"""An order's steps as its page explains them: what can follow, why an order failed, and who made each step. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CANCELLABLE", "FAILED", "MADE", "NEXT", "Failure", "Made", "failure_of", "settled"]

NEXT: Mapping[str, tuple[str, ...]] = {
    "PENDING": ("RESERVED", "CONFIRMED"),
    "RESERVED": ("CONFIRMED",),
    "CANCELLING": ("CANCELLED",),
    "EXPIRING": ("EXPIRED",),
    "REFUNDING": ("REFUNDED",),
}
"""The steps that follow a state if nothing goes wrong."""

CANCELLABLE = frozenset({"PENDING", "RESERVED", "CONFIRMED"})

FAILED = frozenset({"REJECTED", "PAYMENT_FAILED", "CANCELLED", "EXPIRED"})
"""Nothing was sold."""


def settled(status: str) -> bool:
    """Returns whether no step follows by itself. A state that this release does not know counts as settled."""
    return status not in NEXT


@dataclass(frozen=True, slots=True)
class Made:
    """`service` caused a step by `message`; both are None for a request, of a page or of any client of the API.

    A step without a message but with a service was due by its schedule. Order then sent `sent`.
    """

    service: str | None = None
    message: str | None = None
    sent: tuple[str, ...] = ()


UNDO = ("catalog.release-stock.v1", "payment.cancel.v1")

MADE: Mapping[str, Made] = {
    "PENDING": Made(sent=("catalog.reserve-stock.v1",)),
    "RESERVED": Made("catalog", "catalog.stock-reserved.v1", ("payment.charge.v1",)),
    "CONFIRMED": Made("payment", "payment.captured.v1", ("order.confirmed.v1",)),
    "REJECTED": Made("catalog", "catalog.stock-rejected.v1"),
    "PAYMENT_FAILED": Made("payment", "payment.failed.v1", ("catalog.release-stock.v1",)),
    "CANCELLING": Made(sent=UNDO),
    "CANCELLED": Made("payment", "payment.cancelled.v1"),
    "EXPIRING": Made("order", sent=UNDO),
    "EXPIRED": Made("payment", "payment.cancelled.v1"),
    "REFUNDING": Made(sent=UNDO),
    "REFUNDED": Made("payment", "payment.cancelled.v1"),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """`reason` is catalog's or the provider's word for it, such as `sold-out`; `skus` are the products concerned."""

    reason: str
    skus: frozenset[str] = frozenset()


def failure_of(reason: str | None) -> Failure:
    """Reads the reason of a step, such as `declined` or `sold-out: MUG-1, BAG-2`."""
    word, _, skus = (reason or "").partition(": ")
    return Failure(word, frozenset(skus.split(", ")) if skus else frozenset())
