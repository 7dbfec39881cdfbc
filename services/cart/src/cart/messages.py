"""The cart's own copy of the only event that it consumes."""

from chassis.messages import Message

__all__ = ["OrderConfirmed"]


class OrderConfirmed(Message):
    """The order is paid, so the cart from which it was placed can be emptied."""

    type = "order.confirmed.v1"
    sub: str
    cart_version: str
