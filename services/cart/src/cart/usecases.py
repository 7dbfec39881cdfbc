"""What can be done with carts that takes more than one step."""

from collections.abc import Collection, Sequence
from typing import Protocol

from cart.messages import OrderConfirmed
from cart.models import Cart, merged
from cart.repository import ABSENT, ANY, Carts
from chassis.errors import Invalid, NotFound, PreconditionFailed, Unauthenticated
from chassis.messages import Event

__all__ = ["Owner", "Products", "Verifier", "empty_ordered", "merge", "put"]

MERGE_TRIES = 3


class Owner(Protocol):
    """Whom a token is for."""

    @property
    def sub(self) -> str: ...
    @property
    def guest(self) -> bool: ...


class Verifier(Protocol):
    async def verify(self, token: str) -> Owner:
        """Raises Unauthenticated."""


class Products(Protocol):
    async def has(self, sku: str) -> bool:
        """Whether this product can be bought, as far as that is known."""


async def put(
    carts: Carts, products: Products, sub: str, sku: str, quantity: int, expected: Collection[str] = (ANY,)
) -> Cart:
    """Sets a line's quantity. Raises NotFound (`unknown-sku`), and what `Carts.change` raises.

    Order asks again when the cart is ordered; here it is a mistyped SKU that is told at once.
    """
    if not await products.has(sku):
        raise NotFound("unknown-sku", f"There is no product {sku}", "See GET /api/catalog/products.")
    return await carts.change(sub, {sku: quantity}, expected)


async def merge(carts: Carts, verifier: Verifier, sub: str, guest_token: str) -> Cart:
    """Takes a guest's cart over into that of `sub` and empties it; repeating it changes nothing more.

    Raises Invalid when the token is not a valid guest's, or the carts together have too many lines.
    """
    try:
        guest = await verifier.verify(guest_token)
    except Unauthenticated as error:
        raise Invalid("guest-token-invalid", "The guest's token is not valid", error.detail) from error
    if not guest.guest or guest.sub == sub:
        raise Invalid("not-a-guest", "That is not another guest's token", "Send the token from before the login.")
    theirs = await carts.get(guest.sub)
    own = await _take(carts, sub, theirs)
    if theirs.version is not None:
        await carts.empty_if([(guest.sub, theirs.version)])
    return own


async def _take(carts: Carts, sub: str, theirs: Cart) -> Cart:
    """Reads, compares and sets; another request of the same shopper may get in between."""
    for last in (False,) * (MERGE_TRIES - 1) + (True,):
        own = await carts.get(sub)
        lines = merged(own, theirs)
        if not lines:
            return own
        try:
            return await carts.change(sub, lines, [own.version or ABSENT])
        except PreconditionFailed:
            if last:
                raise
    raise AssertionError("the last try returns or raises")


async def empty_ordered(carts: Carts, events: Sequence[Event[OrderConfirmed]]) -> None:
    """Empties the carts that were ordered, unless they have changed since. Repeating it is harmless."""
    await carts.empty_if([(event.data.sub, event.data.cart_version) for event in events])
