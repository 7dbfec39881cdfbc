"""What a shopper can do with an order, and what happens when cart or order refuses it."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from chassis.errors import NotFound, Unavailable
from storefront.usecases import orders, remote
from storefront.usecases.remote import Address, Cart, Line, Money, Order, OrderLine, Refused

AT = datetime(2026, 1, 1, tzinfo=UTC)
EUR = Money(500, "EUR")


def order_of(**quantities: int) -> Order:
    lines = [OrderLine(sku, sku, quantity, EUR) for sku, quantity in quantities.items()]
    return Order("1", "CONFIRMED", EUR, lines, Address("Ann", "Quay 1", "Emden", "26721", "DE"), AT, AT)


class Carts:
    """A cart, without a service.

    `refusals` and `down` have SKUs; `most` is how many puts have run at the same time.
    """

    def __init__(self, **quantities: int) -> None:
        self.quantities = quantities
        self.refusals: dict[str, str] = {}
        self.down: set[str] = set()
        self.running = self.most = 0

    async def get(self, token: str) -> Cart:
        return Cart("1", [Line(sku, quantity) for sku, quantity in self.quantities.items()])

    async def put(self, token: str, sku: str, quantity: int) -> Cart:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0)
            if sku in self.down:
                raise Unavailable("cart-unavailable", "Cart is down", "Try again.")
            if slug := self.refusals.get(sku):
                raise Refused(409, slug, slug, slug)
            self.quantities[sku] = quantity
        finally:
            self.running -= 1
        return await self.get(token)

    async def remove(self, token: str, sku: str) -> Cart: ...
    async def merge(self, token: str, guest: str) -> Cart: ...


async def test_ordering_again_never_makes_a_line_smaller() -> None:
    carts = Carts(MUG=5, CUP=1)
    assert await orders.order_again(carts, "ann", order_of(MUG=2, CUP=3, POT=1))
    assert carts.quantities == {"MUG": 5, "CUP": 3, "POT": 1}


async def test_the_lines_of_a_long_order_are_put_in_side_by_side_but_not_all_at_once() -> None:
    carts = Carts()
    assert await orders.order_again(carts, "ann", order_of(**{f"MUG-{n}": 1 for n in range(90)}))
    assert len(carts.quantities) == 90
    assert carts.most == 8


@pytest.mark.parametrize("slug", ["unknown-sku", "cart-full"])
async def test_a_line_that_does_not_go_in_is_told_and_the_others_are_there(slug: str) -> None:
    carts = Carts()
    carts.refusals["CUP"] = slug
    assert not await orders.order_again(carts, "ann", order_of(MUG=2, CUP=3, POT=1))
    assert carts.quantities == {"MUG": 2, "POT": 1}


@pytest.mark.parametrize("reason", ["down", "refused"])
async def test_the_first_failure_ends_it(reason: str) -> None:
    carts = Carts()
    if reason == "down":
        carts.down.add("MUG-0")
    else:
        carts.refusals["MUG-0"] = "invalid-token"
    with pytest.raises(Unavailable if reason == "down" else Refused):
        await orders.order_again(carts, "ann", order_of(**{f"MUG-{n}": 1 for n in range(90)}))
    assert len(carts.quantities) < 10
    assert carts.running == 0


class Orders:
    """Answers by token with a status; `slug` is that of a refusal. `together` lets lists wait for one another."""

    def __init__(self, slug: str = "order-not-found", **by_token: int) -> None:
        self.slug, self.by_token = slug, by_token
        self.asked: list[tuple[str, str | None]] = []
        self.together: asyncio.Barrier | None = None

    async def get(self, token: str, id: str) -> Order:
        if (status := self.by_token[token]) != 200:
            raise Refused(status, self.slug, self.slug, self.slug)
        return order_of(MUG=1)

    cancel = get

    async def list(self, token: str, cursor: str | None = None, limit: int = 20) -> remote.Orders:
        self.asked.append((token, cursor))
        if self.together:
            await self.together.wait()
        return remote.Orders([await self.get(token, "")])


@pytest.mark.parametrize(
    ("own", "guest", "raised"),
    [(200, 500, None), (404, 200, None), (404, 404, NotFound), (404, 401, NotFound), (401, 200, Refused)],
)
async def test_an_order_is_looked_for_with_each_token_in_turn(own: int, guest: int, raised: type[Exception]) -> None:
    """The guest's token may have expired. The session's must be good, or the shopper has to log in."""
    other: Any = Orders(own=own, guest=guest)
    for use in (orders.find, orders.cancel):
        if raised is None:
            assert await use(other, ["own", "guest"], "1")
        else:
            with pytest.raises(raised):
                await use(other, ["own", "guest"], "1")


async def test_an_order_that_has_gone_too_far_is_not_cancelled() -> None:
    late: Any = Orders("not-cancellable", own=409)
    assert not await orders.cancel(late, ["own"], "1")


async def test_without_the_guests_token_its_orders_are_left_out() -> None:
    expired: Any = Orders("invalid-token", own=200, guest=401)
    own, guests = await orders.history(expired, ["own", "guest"], None)
    assert (len(own.items), guests) == (1, [])


async def test_both_histories_are_asked_for_at_the_same_time() -> None:
    both: Any = Orders(own=200, guest=200)
    both.together = asyncio.Barrier(2)
    own, guests = await asyncio.wait_for(orders.history(both, ["own", "guest"], None), 5)
    assert (len(own.items), len(guests)) == (1, 1)


async def test_the_guests_orders_are_only_on_the_first_page() -> None:
    both: Any = Orders(own=200, guest=200)
    assert (await orders.history(both, ["own", "guest"], "9"))[1] == []
    assert both.asked == [("own", "9")]


async def test_a_stranger_has_no_orders_and_none_are_asked_for() -> None:
    none: Any = Orders()
    assert await orders.history(none, [], None) == (remote.Orders([]), [])
