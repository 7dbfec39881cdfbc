"""The tables of catalog, a product, and the states of a reservation with their effect on stock. No I/O."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from catalog.messages import Line, Reason
from chassis import outbox

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
    "metadata",
    "totals",
]

metadata = sa.MetaData()
outbox.tables(metadata)

_Bytewise = sa.Text(collation="C")
_Time = sa.TIMESTAMP(timezone=True)

sa.Table(
    "categories",
    metadata,
    sa.Column("slug", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
)

products = sa.Table(
    "products",
    metadata,
    sa.Column("sku", _Bytewise, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("category", sa.Text, sa.ForeignKey("categories.slug"), nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("image_url", sa.Text),
    sa.Column("hidden", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    sa.Column("created_at", _Time, nullable=False),
    sa.Column("updated_at", _Time, nullable=False),
    # Derived from the name, the category and the description at each write: see `fold`.
    sa.Column("folded_name", _Bytewise, nullable=False),
    sa.Column("search", pg.TSVECTOR, nullable=False),
    # Only the previous release reads this; a trigger writes it: see migration 0003.
    sa.Column("document", sa.Text, nullable=False),
    sa.CheckConstraint("amount >= 0"),
)

_visible = sa.not_(products.c.hidden)
for _key in (products.c.folded_name, products.c.amount, products.c.created_at):
    sa.Index(f"products_by_{_key.name}", _key, products.c.sku, postgresql_where=_visible)
    sa.Index(
        f"products_by_category_{_key.name}",
        products.c.category,
        _key,
        products.c.sku,
        postgresql_where=_visible,
    )
sa.Index("products_search", products.c.search, postgresql_using="gin")
sa.Index(
    "products_similar",
    products.c.folded_name,
    postgresql_using="gin",
    postgresql_ops={"folded_name": "gin_trgm_ops"},
)

sa.Table(
    "stock",
    metadata,
    sa.Column("sku", _Bytewise, sa.ForeignKey("products.sku"), primary_key=True),
    sa.Column("available", sa.BigInteger, sa.CheckConstraint("available >= 0"), nullable=False),
    sa.Column("held", sa.BigInteger, sa.CheckConstraint("held >= 0"), nullable=False),
    sa.Column("sold", sa.BigInteger, sa.CheckConstraint("sold >= 0"), nullable=False),
)
sa.Table(
    "restocks",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("sku", _Bytewise, sa.ForeignKey("stock.sku"), nullable=False),
    sa.Column("quantity", sa.BigInteger, sa.CheckConstraint("quantity > 0"), nullable=False),
    sa.Column("created_at", _Time, nullable=False, server_default=sa.func.now()),
    sa.Index("restocks_of", "sku", "created_at"),
)
sa.Table(
    "reservations",
    metadata,
    sa.Column("order_id", sa.Uuid, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("skus", sa.JSON, nullable=False, server_default="[]"),
    sa.Column("created_at", _Time, nullable=False, server_default=sa.func.now()),
    sa.CheckConstraint("state IN ('HELD', 'SOLD', 'REJECTED', 'RELEASED')"),
)
sa.Table(
    "reservation_lines",
    metadata,
    sa.Column("order_id", sa.Uuid, sa.ForeignKey("reservations.order_id"), primary_key=True),
    sa.Column("sku", _Bytewise, primary_key=True),
    sa.Column("quantity", sa.BigInteger, sa.CheckConstraint("quantity > 0"), nullable=False),
)


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
