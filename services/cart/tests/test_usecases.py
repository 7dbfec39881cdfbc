"""A confirmed order empties the cart from which it was placed."""

import uuid

from cart import usecases
from cart.messages import OrderConfirmed
from cart.repository import Carts
from chassis.messages import Event
from chassis.valkey import Valkey


def confirmed(sub: str, version: str | None) -> Event[OrderConfirmed]:
    return Event(uuid.uuid4(), str(uuid.uuid4()), OrderConfirmed(sub=sub, cart_version=version or ""))


async def test_only_carts_that_are_still_as_ordered_are_emptied(valkey: str) -> None:
    async with Valkey(valkey, "carts", service="cart") as store:
        carts = Carts(store)
        ordered = await carts.change("ordered", {"MUG-1": 1})
        old = await carts.change("changed", {"MUG-1": 1})
        new = await carts.change("changed", {"MUG-1": 2})
        events = [
            confirmed("ordered", ordered.version),
            confirmed("changed", old.version),
            confirmed("never", str(uuid.uuid4())),
        ]
        for _ in range(2):
            await usecases.empty_ordered(carts, events)
            assert (await carts.get("ordered")).items == []
            assert await carts.get("changed") == new
