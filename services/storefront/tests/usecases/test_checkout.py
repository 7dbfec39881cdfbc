"""What each refusal of an order leads to, and whether sending the form again can make a second order."""

from datetime import UTC, datetime
from typing import Any

import pytest

from chassis.errors import Unavailable
from storefront.usecases import checkout
from storefront.usecases.cart import view
from storefront.usecases.checkout import Again, Ordered, Reason, Terms, buy, terms_of
from storefront.usecases.remote import Address, Cart, Line, Money, Order, Orders, Placed, Product, Refused

AT = datetime(2026, 1, 1, tzinfo=UTC)
EUR = Money(500, "EUR")
ANN = Address("Ann", "Quay 1", "Emden", "26721", "DE")
TERMS = Terms("0198a4e0-0000-7000-8000-000000000005", "0198a4e0-0000-7000-8000-000000000001", EUR, {"MUG": 500})
DOWN = Unavailable("down", "It is down", "Try again.")


def refused(slug: str, status: int = 409, **members: Any) -> Refused:
    return Refused(status, slug, slug, slug, **members)


def order(number: int, amount: int = 500, status: str = "CONFIRMED") -> Order:
    id = f"0198a4e0-0000-7000-8000-{number:012}"
    return Order(id, status, Money(amount, "EUR"), [], ANN, AT, AT)


class Services:
    """Order, cart and catalog: their answers, or the error that each raises. `keys` are those of the order's calls."""

    def __init__(self, *answers: Exception | Placed) -> None:
        self.answers = list(answers)
        self.newest: list[Order] | Exception = []
        self.cart: Cart | Exception = Cart("2", [Line("MUG", 1)])
        self.products: list[Product] | Exception = [Product("MUG", "Mug", "", "home", Money(600, "EUR"), 5)]
        self.keys: list[str] = []

    async def place(self, token: str, key: str, **terms: Any) -> Placed:
        self.keys.append(key)
        return given(self.answers.pop(0))

    async def list(self, token: str) -> Orders:
        return Orders(given(self.newest))

    async def get(self, token: str) -> Cart:
        return given(self.cart)

    async def by_skus(self, skus: Any) -> dict[str, Product]:
        return {product.sku: product for product in given(self.products)}


def given(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


async def bought(services: Any) -> Ordered | Again:
    return await buy(services, services, services, "ann", TERMS, ANN, "tok_visa")


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (DOWN, Reason.UNAVAILABLE),
        (refused("payment-method-unknown", 422), Reason.REFUSED),
        (refused("invalid-request", 422), Reason.REFUSED),
        (refused("too-many-requests", 429), Reason.REFUSED),
    ],
)
async def test_while_nothing_has_changed_the_form_stays_the_same_order(refusal: Exception, reason: Reason) -> None:
    assert await bought(Services(refusal)) == Again(reason, TERMS)


@pytest.mark.parametrize("slug", ["price-changed", "cart-changed", "unknown-sku", "sold-out"])
async def test_what_has_changed_makes_new_terms_with_a_new_key(slug: str) -> None:
    again = await bought(Services(refused(slug, skus=["MUG"])))
    assert isinstance(again, Again)
    assert again.terms is not None
    assert (again.reason, again.skus) == (slug, {"MUG"})
    assert (again.terms.total, again.terms.cart_version) == (Money(600, "EUR"), "2")
    assert again.terms.key != TERMS.key


@pytest.mark.parametrize("broken", ["cart", "products"])
async def test_a_change_that_cannot_be_shown_is_not_agreed_to(broken: str) -> None:
    services = Services(refused("price-changed"))
    setattr(services, broken, DOWN)
    assert await bought(services) == Again(Reason.UNAVAILABLE, TERMS)


async def test_what_is_sold_out_meanwhile_has_no_terms() -> None:
    services = Services(refused("cart-changed"))
    services.products = [Product("MUG", "Mug", "", "home", EUR, 0)]
    again = await bought(services)
    assert isinstance(again, Again)
    assert again.terms is None
    assert again.cart is not None


@pytest.mark.parametrize("slug", ["cart-empty", "cart-changed"])
async def test_an_empty_cart_is_nothing_to_order(slug: str) -> None:
    services = Services(refused(slug))
    services.cart = Cart(None, [])
    assert await bought(services) == Again(Reason.CART_EMPTY, None)


async def test_an_order_in_flight_is_asked_for_twice_with_the_same_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, "IN_FLIGHT_PAUSE", 0)
    services = Services(refused("in-flight"), refused("in-flight"))
    assert await bought(services) == Again(Reason.IN_FLIGHT, TERMS)
    assert await bought(Services(refused("in-flight"), Placed("1", "PENDING"))) == Ordered("1")
    assert services.keys == [TERMS.key] * 2


@pytest.mark.parametrize(
    ("slug", "newest", "found"),
    [
        ("key-reused", [order(9), order(7), order(3)], 7),  # the first one after the key, which is 5
        ("key-reused", [order(9), order(7, amount=600), order(3)], 9),  # with the form's total
        ("key-reused", [order(7, status="CANCELLED")], 7),
        ("key-reused", [order(3)], None),
        ("cart-already-ordered", [order(9, status="CANCELLED"), order(7), order(3)], 7),
        ("cart-already-ordered", [order(9, amount=600), order(7)], 7),
        ("cart-already-ordered", [order(9, amount=600)], 9),
        ("cart-already-ordered", [], None),
    ],
)
async def test_an_earlier_order_is_found_among_the_newest(slug: str, newest: list[Order], found: int | None) -> None:
    services = Services(refused(slug))
    services.newest = newest
    assert await bought(services) == Ordered(order(found).id if found else None, before=True)


async def test_an_earlier_order_that_cannot_be_found_now_keeps_the_form() -> None:
    services = Services(refused("key-reused"))
    services.newest = DOWN
    assert await bought(services) == Again(Reason.UNAVAILABLE, TERMS)


async def test_a_session_that_has_ended_is_not_a_reason_to_show_the_form() -> None:
    with pytest.raises(Refused, match="invalid-token"):
        await bought(Services(refused("invalid-token", 401)))


@pytest.mark.parametrize(
    "products",
    [
        [Product("MUG", "Mug", "", "home", EUR, 5)],  # CUP is gone
        [Product("MUG", "Mug", "", "home", EUR, 5), Product("CUP", "Cup", "", "home", EUR, 1)],  # too few
        [Product("MUG", "Mug", "", "home", EUR, 5), Product("CUP", "Cup", "", "home", Money(500, "NOK"), 5)],
        DOWN,
    ],
)
async def test_a_cart_that_cannot_be_ordered_whole_has_no_terms(products: Any) -> None:
    services: Any = Services()
    services.cart, services.products = Cart("2", [Line("MUG", 1), Line("CUP", 2)]), products
    cart = await view(services, services, "ann")
    assert [(line.sku, line.quantity) for line in cart.lines] == [("MUG", 1), ("CUP", 2)]
    assert terms_of(cart) is None
