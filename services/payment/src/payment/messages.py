"""Commands that payment consumes (its own copy), and events that it publishes."""

from typing import Annotated, ClassVar
from uuid import UUID

import msgspec

from chassis.messages import Message


class Charge(Message):
    """Asks to take the money once. The reply is Captured or Failed."""

    type: ClassVar[str] = "payment.charge.v1"
    order_id: UUID
    amount: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
    currency: Annotated[str, msgspec.Meta(pattern=r"\A[A-Z]{3}\Z")]
    payment_method: Annotated[str, msgspec.Meta(pattern=r"\A[^\x00]*\Z")]


class Cancel(Message):
    """Undoes the charge, in any state of the payment. The reply is Cancelled, once no money is taken for certain."""

    type: ClassVar[str] = "payment.cancel.v1"
    order_id: UUID


class Captured(Message):
    """The provider has the money."""

    type: ClassVar[str] = "payment.captured.v1"
    consumers = ("order",)
    order_id: UUID


class Failed(Message):
    """The provider refused the charge. It took no money, and never will."""

    type: ClassVar[str] = "payment.failed.v1"
    consumers = ("order",)
    order_id: UUID
    reason: str


class Cancelled(Message):
    """No money is taken. `refunded` says whether money was taken and refunded."""

    type: ClassVar[str] = "payment.cancelled.v1"
    consumers = ("order",)
    order_id: UUID
    refunded: bool


PUBLISHED = (Captured, Failed, Cancelled)
