"""A cart, its limits, and the merging of two carts. No I/O."""

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
    """A cart, its items in order of arrival. `version` differs after each change; it is None if the cart is empty."""

    version: str | None
    items: list[Line]


EMPTY = Cart(None, [])


def merged(own: Cart, guest: Cart) -> dict[str, int]:
    """Returns the quantities that `own` takes from `guest`. If a SKU is in both carts, the larger quantity counts.

    A sum would grow each time that the client repeats the merge after a lost answer.
    """
    have = {line.sku: line.quantity for line in own.items}
    return {line.sku: line.quantity for line in guest.items if line.quantity > have.get(line.sku, 0)}
