"""A cart, its limits, and how two of them become one; pure, no I/O."""

import msgspec

__all__ = ["EMPTY", "MAX_LINES", "MAX_QUANTITY", "SKU_PATTERN", "VERSION_PATTERN", "Cart", "Line", "merged"]

SKU_PATTERN = r"^[A-Z0-9][A-Z0-9-]{1,31}$"
VERSION_PATTERN = r"^[0-9a-f-]{36}$"
MAX_LINES = 100
MAX_QUANTITY = 99


class Line(msgspec.Struct, frozen=True):
    sku: str
    quantity: int


class Cart(msgspec.Struct, frozen=True):
    """`version` is another one after each change, and None when the cart is empty; `items` are in order of arrival."""

    version: str | None
    items: list[Line]


EMPTY = Cart(None, [])


def merged(own: Cart, guest: Cart) -> dict[str, int]:
    """The quantities that `own` gets from `guest`: what is in both carts has the larger one.

    A sum would grow each time that a lost answer makes the caller repeat the merge.
    """
    have = {line.sku: line.quantity for line in own.items}
    return {line.sku: line.quantity for line in guest.items if line.quantity > have.get(line.sku, 0)}
