"""The cart's own copy of the one event that it consumes."""

from chassis.messages import Message

__all__ = ["OrderConfirmed"]


class OrderConfirmed(Message):
    """An order is paid: the cart it was made from is done with."""

    type = "order.confirmed.v1"
    sub: str
    cart_version: str
