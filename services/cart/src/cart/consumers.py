"""Maps messages to use cases."""

from functools import partial

from pydantic import SecretStr

from cart.messages import OrderConfirmed
from cart.repository import Carts
from cart.usecases import empty_ordered
from chassis.messaging import Consumer, handles

__all__ = ["consumer"]


def consumer(carts: Carts, url: SecretStr | str) -> Consumer:
    return Consumer(url, "cart", [handles(OrderConfirmed, partial(empty_ordered, carts))])
