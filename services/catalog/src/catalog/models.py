"""A product, and the states of a reservation with their effect on stock. No I/O."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

from catalog.messages import Line, Reason

__all__ = [
    "LEGAL",
    "Level",
    "ManagedProduct",
    "Price",
    "Product",
    "Reservation",
    "Shelf",
    "ShownProduct",
    "State",
    "category_name",
    "fold",
    "totals",
]


class State(StrEnum):
    """The states of a reservation. REJECTED and RELEASED are final."""

    HELD = "HELD"
    SOLD = "SOLD"
    REJECTED = "REJECTED"
    RELEASED = "RELEASED"


LEGAL: Mapping[State | None, frozenset[State]] = {
    None: frozenset({State.HELD, State.REJECTED, State.RELEASED}),
    State.HELD: frozenset({State.SOLD, State.RELEASED}),
    State.SOLD: frozenset({State.RELEASED}),
    State.REJECTED: frozenset(),
    State.RELEASED: frozenset(),
}
"""The states that may follow each state; None stands for an order without a reservation."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """The decision about an order. Only a rejected one has a `reason` and `skus`."""

    state: State
    reason: Reason | None = None
    skus: tuple[str, ...] = ()


@dataclass(slots=True)
class Level:
    """The stock of one SKU: three quantities. Only a restock changes their sum."""

    available: int
    held: int
    sold: int


class Shelf:
    """The stock levels of locked rows. Reservations change them in memory, one by one; then they are written once."""

    def __init__(self, levels: dict[str, Level]) -> None:
        self._levels = levels
        self.changed: dict[str, Level] = {}

    def hold(self, lines: Mapping[str, int]) -> Reservation:
        """Holds all lines or none, and returns the decision."""
        if unknown := tuple(sku for sku in lines if sku not in self._levels):
            return Reservation(State.REJECTED, "unknown-sku", unknown)
        if short := tuple(sku for sku, n in lines.items() if self._levels[sku].available < n):
            return Reservation(State.REJECTED, "sold-out", short)
        for sku, quantity in lines.items():
            level = self._touch(sku)
            level.available -= quantity
            level.held += quantity
        return Reservation(State.HELD)

    def sell(self, lines: Mapping[str, int]) -> None:
        """Moves stock from held to sold."""
        for sku, quantity in lines.items():
            level = self._touch(sku)
            level.held -= quantity
            level.sold += quantity

    def release(self, lines: Mapping[str, int], state: State) -> None:
        """Moves held stock, or sold stock if `state` is SOLD, back to available."""
        for sku, quantity in lines.items():
            level = self._touch(sku)
            level.available += quantity
            if state is State.HELD:
                level.held -= quantity
            else:
                level.sold -= quantity

    def _touch(self, sku: str) -> Level:
        level = self.changed[sku] = self._levels[sku]
        return level


def totals(lines: Iterable[Line]) -> dict[str, int]:
    """Returns the total quantity of each SKU, sorted by SKU. Several lines may have the same SKU."""
    result: dict[str, int] = {}
    for line in lines:
        result[line.sku] = result.get(line.sku, 0) + line.quantity
    return dict(sorted(result.items()))


class Price(msgspec.Struct, frozen=True):
    """An amount in minor units, and its ISO 4217 code."""

    amount: int
    currency: str


class Product(msgspec.Struct, frozen=True):
    """A product as `POST` and `PATCH` write it.

    Each field is stored in the column of its name; `price` is stored in `amount` and `currency`. The queries are made
    from these fields. docs/how-to/new-field.md tells how to add one.
    """

    sku: str
    name: str
    description: str
    category: str
    price: Price
    image_url: str | None = None


class ShownProduct(Product, frozen=True, kw_only=True):
    """A product as the API returns it, with the time of its last change and its stock."""

    updated_at: datetime
    available: int


class ManagedProduct(ShownProduct, frozen=True, kw_only=True):
    """A product as the back office sees it: also whether it is hidden, and how much of it is held and sold."""

    hidden: bool
    held: int
    sold: int


def fold(text: str) -> str:
    """Returns the text in lower case and without accents, for search and for sorting by name: "Café" → "cafe"."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(c for c in decomposed if not unicodedata.combining(c)).split())


def category_name(slug: str) -> str:
    """Returns the name of a category: "coffee-and-tea" → "Coffee & Tea"."""
    return " ".join("&" if word == "and" else word.capitalize() for word in slug.split("-") if word) or slug
