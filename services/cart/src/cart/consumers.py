"""Message → use case."""

from collections.abc import Mapping
from functools import partial

from cart.messages import OrderConfirmed
from cart.repository import Carts
from cart.usecases import empty_ordered
from chassis.messaging import Handler, handles
from chassis.outbox import Message

__all__ = ["handlers"]


def handlers(carts: Carts) -> Mapping[str, tuple[type[Message], Handler]]:
    return dict([handles(OrderConfirmed, partial(empty_ordered, carts))])
