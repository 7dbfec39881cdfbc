"""Places the order of a checkout page, and turns each refusal into what the page shows next."""

import asyncio
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from chassis.errors import Problem, Unavailable
from chassis.ids import uuid7
from storefront.models.progress import FAILED
from storefront.usecases.cart import CartView, view
from storefront.usecases.remote import Address, Carts, Catalog, Money, Ordering, Refused

__all__ = ["Again", "Ordered", "Reason", "Terms", "buy", "terms_of"]

IN_FLIGHT_PAUSE = 1.0


class Terms(msgspec.Struct, frozen=True):
    """What a shopper agrees to by sending a checkout form. `key` makes all of its repetitions one order.

    `prices` are the amounts that the form shows, by SKU.
    """

    key: str
    cart_version: str
    total: Money
    prices: Mapping[str, int]


class Ordered(msgspec.Struct, frozen=True):
    """The form's order. `id` is None if it is not among the newest ones; `before` if another form had placed it."""

    id: str | None
    before: bool = False


class Reason(StrEnum):
    """Why a form is shown again."""

    PRICE_CHANGED = "price-changed"
    CART_CHANGED = "cart-changed"
    CART_EMPTY = "cart-empty"
    UNKNOWN_SKU = "unknown-sku"
    SOLD_OUT = "sold-out"
    IN_FLIGHT = "in-flight"
    UNAVAILABLE = "unavailable"
    REFUSED = "refused"


class Again(msgspec.Struct, frozen=True):
    """The form has to be sent again, under `terms`; without any, the cart must be changed first.

    As long as the result of the first attempt is not known, the terms stay the same, so that both are one order.
    """

    reason: Reason
    terms: Terms | None
    cart: CartView | None = None
    skus: frozenset[str] = frozenset()


CHANGED = {
    "price-changed": Reason.PRICE_CHANGED,
    "cart-changed": Reason.CART_CHANGED,
    "cart-empty": Reason.CART_EMPTY,
    "unknown-sku": Reason.UNKNOWN_SKU,
    "sold-out": Reason.SOLD_OUT,
}


def terms_of(cart: CartView) -> Terms | None:
    """Returns new terms for ordering a cart as it is shown, or None if it cannot be ordered."""
    if cart.version is None or cart.total is None or not cart.orderable:
        return None
    prices = {line.sku: line.product.price.amount for line in cart.lines if line.product}
    return Terms(str(uuid7()), cart.version, cart.total, prices)


async def buy(
    orders: Ordering, carts: Carts, catalog: Catalog, token: str, terms: Terms, address: Address, card: str
) -> Ordered | Again:
    """Places an order. A repetition with the same terms, address and card returns the same order.

    Raises Refused if the token is not accepted.
    """
    try:
        return Ordered(await _place(orders, token, terms, address, card))
    except Unavailable:
        return Again(Reason.UNAVAILABLE, terms)
    except Refused as refusal:
        if refusal.status == 401:  # the session has ended
            raise
        if refusal.slug in ("cart-already-ordered", "key-reused"):
            return await _earlier(orders, token, terms, refusal.slug)
        if refusal.slug == "in-flight":
            return Again(Reason.IN_FLIGHT, terms)
        if refusal.slug not in CHANGED:
            return Again(Reason.REFUSED, terms)
        return await _changed(carts, catalog, token, terms, refusal)


async def _place(orders: Ordering, token: str, terms: Terms, address: Address, card: str) -> str:
    """Retries once while an earlier request with the same key is being handled."""
    for last in (False, True):
        try:
            placed = await orders.place(
                token,
                terms.key,
                cart_version=terms.cart_version,
                payment_method=card,
                address=address,
                total=terms.total,
            )
        except Refused as refusal:
            if last or refusal.slug != "in-flight":
                raise
            await asyncio.sleep(IN_FLIGHT_PAUSE)
        else:
            return placed.id
    raise AssertionError("the last attempt returns or raises")


async def _earlier(orders: Ordering, token: str, terms: Terms, slug: str) -> Ordered | Again:
    """Finds the order that was placed with this key or cart, as far as the newest orders show it.

    The order of a key is the first one after it: both are UUIDv7, which sort by time. The order of a cart has not
    failed, because a cart whose order failed can be ordered again.
    """
    try:
        newest = (await orders.list(token)).items
    except Problem:
        return Again(Reason.UNAVAILABLE, terms)
    if slug == "key-reused":
        found = [order for order in reversed(newest) if order.id > terms.key]
    else:
        found = [order for order in newest if order.status not in FAILED]
    same = [order for order in found if order.total == terms.total] or found
    return Ordered(same[0].id if same else None, before=True)


async def _changed(carts: Carts, catalog: Catalog, token: str, terms: Terms, refusal: Refused) -> Again:
    """Reads the cart again. The new terms have a new key: with the old one, no order was placed."""
    reason = CHANGED[refusal.slug]
    if reason is Reason.CART_EMPTY:
        return Again(reason, None)
    try:
        cart = await view(carts, catalog, token)
    except Problem:
        return Again(Reason.UNAVAILABLE, terms)
    if not cart.lines:
        return Again(Reason.CART_EMPTY, None)
    if not cart.priced:
        return Again(Reason.UNAVAILABLE, terms)
    return Again(reason, terms_of(cart), cart, frozenset(refusal.members.get("skus", ())))
