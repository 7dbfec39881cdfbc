"""The use cases of cart that take more than one step."""

from collections.abc import Collection, Sequence
from typing import Protocol

from cart.messages import OrderConfirmed
from cart.models import Cart, merged
from cart.repository import ABSENT, ANY, Carts
from chassis.errors import Invalid, NotFound, PreconditionFailed, Unauthenticated
from chassis.messages import Event

__all__ = ["Owner", "Products", "Verifier", "empty_ordered", "merge", "put", "read_all"]

MERGE_TRIES = 3


class Owner(Protocol):
    """The principal of a token."""

    @property
    def sub(self) -> str: ...
    @property
    def guest(self) -> bool: ...


class Verifier(Protocol):
    async def verify(self, token: str) -> Owner:
        """Raises Unauthenticated."""


class Products(Protocol):
    async def has(self, sku: str) -> bool:
        """Returns whether this product can be bought, as far as is known."""


async def put(
    carts: Carts, products: Products, sub: str, sku: str, quantity: int, expected: Collection[str] = (ANY,)
) -> Cart:
    """Sets a line's quantity. Raises NotFound (`unknown-sku`), and what `Carts.change` raises.

    Order checks every SKU again. The check here reports a mistyped one at once.
    """
    if not await products.has(sku):
        raise NotFound("unknown-sku", f"There is no product {sku}", "See GET /api/catalog/products.")
    return await carts.change(sub, {sku: quantity}, expected)


async def read_all(carts: Carts, verifier: Verifier, tokens: Sequence[str]) -> list[Cart | None]:
    """Returns the carts of these tokens' owners, in their order; None for a token that is refused."""
    subs = [await _owner(verifier, token) for token in tokens]
    found = iter(await carts.get_all([sub for sub in subs if sub is not None]))
    return [None if sub is None else next(found) for sub in subs]


async def _owner(verifier: Verifier, token: str) -> str | None:
    try:
        return (await verifier.verify(token)).sub
    except Unauthenticated:
        return None


async def merge(carts: Carts, verifier: Verifier, sub: str, guest_token: str) -> Cart:
    """Adds a guest's cart to the cart of `sub` and empties it. A repetition changes nothing.

    Raises Invalid if the token is not a valid guest's, or if both carts together have too many lines.
    """
    try:
        guest = await verifier.verify(guest_token)
    except Unauthenticated as error:
        raise Invalid("guest-token-invalid", "The guest's token is not valid", error.detail) from error
    if not guest.guest or guest.sub == sub:
        raise Invalid("not-a-guest", "The token is not another guest's", "Send the token from before the login.")
    theirs = await carts.get(guest.sub)
    own = await _take(carts, sub, theirs)
    if theirs.version is not None:
        await carts.empty_if([(guest.sub, theirs.version)])
    return own


async def _take(carts: Carts, sub: str, theirs: Cart) -> Cart:
    """Reads the cart, merges and writes it; retries if another request has changed the cart in between."""
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
    raise AssertionError("the last attempt returns or raises")


async def empty_ordered(carts: Carts, events: Sequence[Event[OrderConfirmed]]) -> None:
    """Empties the carts that were ordered, unless they have changed since. It can be repeated."""
    await carts.empty_if([(event.data.sub, event.data.cart_version) for event in events])
