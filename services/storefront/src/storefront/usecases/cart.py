"""The cart as pages show it, with what the catalog says of its lines now, and its changes."""

import contextlib
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum

import msgspec

from chassis.errors import Problem, Unavailable
from storefront.repository import Sessions
from storefront.usecases.remote import Carts, Catalog, Line, Money, Product
from storefront.usecases.sessions import Visit, cart_token

__all__ = [
    "MAX_QUANTITY",
    "Added",
    "CartLine",
    "CartView",
    "Trouble",
    "accept_prices",
    "add",
    "former_prices",
    "set_quantity",
    "view",
]

MAX_QUANTITY = 99
"""The most articles of one product that a cart holds."""


class Trouble(StrEnum):
    """Why a line cannot be ordered."""

    UNKNOWN = "unknown"
    SOLD_OUT = "sold-out"
    TOO_FEW = "too-few"


class CartLine(msgspec.Struct, frozen=True):
    """`product` is None if the catalog does not have it, or does not answer."""

    sku: str
    quantity: int
    product: Product | None = None
    trouble: Trouble | None = None

    @property
    def total(self) -> Money | None:
        if self.product is None:
            return None
        return Money(self.product.price.amount * self.quantity, self.product.price.currency)


class CartView(msgspec.Struct, frozen=True):
    """`priced` tells whether the catalog answered. `total` is that of the lines with a price."""

    version: str | None
    lines: list[CartLine]
    priced: bool
    total: Money | None

    @property
    def count(self) -> int:
        return sum(line.quantity for line in self.lines)

    @property
    def orderable(self) -> bool:
        return self.total is not None and not any(line.trouble for line in self.lines)


async def view(carts: Carts, catalog: Catalog, token: str) -> CartView:
    """Reads a cart and its products; without catalog, only the lines. Raises Unavailable and Refused if cart does."""
    cart = await carts.get(token)
    try:
        products = await catalog.by_skus([line.sku for line in cart.items])
    except Problem:
        return CartView(cart.version, [CartLine(line.sku, line.quantity) for line in cart.items], not cart.items, None)
    lines = [_line(line, products.get(line.sku)) for line in cart.items]
    return CartView(cart.version, lines, True, _sum([line.total for line in lines]))


async def former_prices(sessions: Sessions, id: str, cart: CartView) -> Mapping[str, Money]:
    """Returns the prices that the session was shown first, by SKU, for lines whose price is another one now."""
    if not cart.priced:
        return {}
    now = {line.sku: _text(line.product.price) if line.product else "" for line in cart.lines}
    try:
        first = await sessions.first_prices(id, now)
    except Unavailable:  # the cart is still worth showing
        return {}
    return {sku: _price(text) for sku, text in first.items() if now[sku] not in ("", text)}


async def accept_prices(sessions: Sessions, id: str, skus: Collection[str]) -> None:
    """Forgets former prices, because the shopper has put in these products again or changed their quantity."""
    with contextlib.suppress(Unavailable):
        await sessions.forget_prices(id, skus)


async def set_quantity(sessions: Sessions, carts: Carts, visit: Visit, sku: str, quantity: int) -> None:
    """Sets the quantity of a line; 0 removes it. Raises Unavailable, Refused and SessionEnded."""
    token = await cart_token(carts, visit)
    id = visit.id
    assert id is not None
    if quantity:
        await carts.put(token, sku, quantity)
        await visit.keep()
    else:
        await carts.remove(token, sku)
    await accept_prices(sessions, id, [sku])


class Added(StrEnum):
    """What adding a product did: it was put in, it had been already, or only as many as a cart holds are in it."""

    NEW = "new"
    REPEATED = "repeated"
    LIMITED = "limited"


async def add(sessions: Sessions, carts: Carts, visit: Visit, sku: str, quantity: int, key: str) -> Added:
    """Adds articles to a line of the cart. A repetition with the same key within a minute adds nothing.

    The first call stores the quantity that it leads to. A repetition makes sure that the line has it, because the first
    call may have failed half-way. Raises Unavailable, Refused and SessionEnded.
    """
    token = await cart_token(carts, visit)
    id = visit.id
    assert id is not None
    present = next((line.quantity for line in (await carts.get(token)).items if line.sku == sku), 0)
    wanted = await sessions.once(id, f"{key} {sku} {quantity}", present + quantity)
    allowed = min(wanted, MAX_QUANTITY)
    if present < allowed:
        await carts.put(token, sku, allowed)
        await visit.keep()
        await accept_prices(sessions, id, [sku])
    if wanted > MAX_QUANTITY:
        return Added.LIMITED
    return Added.NEW if present < allowed else Added.REPEATED


def _line(line: Line, product: Product | None) -> CartLine:
    trouble = None
    if product is None:
        trouble = Trouble.UNKNOWN
    elif product.available <= 0:
        trouble = Trouble.SOLD_OUT
    elif product.available < line.quantity:
        trouble = Trouble.TOO_FEW
    return CartLine(line.sku, line.quantity, product, trouble)


def _text(price: Money) -> str:
    return f"{price.amount} {price.currency}"


def _price(text: str) -> Money:
    amount, currency = text.split()
    return Money(int(amount), currency)


def _sum(prices: Sequence[Money | None]) -> Money | None:
    """Returns the sum of those that are known, or None if there are none, or in several currencies."""
    known = [price for price in prices if price is not None]
    currencies = {price.currency for price in known}
    return Money(sum(price.amount for price in known), currencies.pop()) if len(currencies) == 1 else None
