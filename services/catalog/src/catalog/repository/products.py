"""Queries for one product, and for categories."""

from typing import Any

import asyncpg
import msgspec

from catalog.models import Price, Product, ShownProduct, category_name, fold
from catalog.repository.grams import indexed
from chassis.db import Connection

__all__ = [
    "COUNTED",
    "FROM",
    "SHOWN",
    "STOCK",
    "add",
    "categories",
    "change",
    "get",
    "hide",
    "is_hidden",
    "lock",
    "restore",
    "shown",
]

COUNTED = 100
"""How many products of a category are counted at most."""

COLUMNS = [
    column
    for field in Product.__struct_fields__
    for column in (Price.__struct_fields__ if field == "price" else (field,))
]
"""The columns that hold a Product, in the order of its fields."""

SHOWN = ", ".join([*(f"p.{column}" for column in COLUMNS), "p.updated_at", "s.available"])
"""The columns that `shown` reads. They come first in a SELECT, with FROM."""

STOCK = "JOIN stock AS s ON s.sku = p.sku"
FROM = f"FROM products AS p {STOCK} WHERE NOT p.hidden"

_PRICE = Product.__struct_fields__.index("price")
_WIDTH = len(COLUMNS)

# $1 to $4 are derived from the product (see `_values`); the vector weighs name over category over description.
_VECTOR = (
    "setweight(to_tsvector('english', $2), 'A') || setweight(to_tsvector('english', $3), 'B')"
    " || setweight(to_tsvector('english', $4), 'C')"
)
_VALUES = {column: f"${number}" for number, column in enumerate(COLUMNS, 5)}
_ADD = f"""
INSERT INTO products (folded_name, search, created_at, updated_at, {", ".join(_VALUES)})
VALUES ($1, {_VECTOR}, now(), now(), {", ".join(_VALUES.values())})
ON CONFLICT DO NOTHING RETURNING sku
"""  # noqa: S608
_CHANGE = f"""
UPDATE products SET folded_name = $1, search = {_VECTOR}, updated_at = now(), version = version + 1,
    {", ".join(f"{column} = {value}" for column, value in _VALUES.items())}
WHERE sku = {_VALUES["sku"]}
"""  # noqa: S608


def shown(row: asyncpg.Record) -> ShownProduct:
    """Builds a product from a row that begins with the columns SHOWN."""
    return ShownProduct(*_fields(row), updated_at=row[_WIDTH], available=row[_WIDTH + 1])


async def get(connection: Connection, sku: str) -> tuple[ShownProduct, int] | None:
    """Returns the product and its version, or None if there is no such product or it is hidden."""
    row = await connection.fetchrow(
        f"SELECT {SHOWN}, p.version {FROM} AND p.sku = $1",
        sku,
    )
    return None if row is None else (shown(row), row["version"])


async def lock(tx: Connection, sku: str) -> tuple[Product, int] | None:
    """Locks the product and returns it with its version, or None if there is no such product or it is hidden."""
    row = await tx.fetchrow(
        f"SELECT {', '.join(COLUMNS)}, version FROM products WHERE sku = $1 AND NOT hidden FOR NO KEY UPDATE",  # noqa: S608
        sku,
    )
    return None if row is None else (Product(*_fields(row)), row["version"])


async def add(tx: Connection, product: Product) -> bool:
    """Adds a product without stock, and its category if it is new. Returns False if the SKU is taken."""
    await _ensure_category(tx, product.category)
    if await tx.fetchval(_ADD, *_values(product)) is None:
        return False
    await tx.execute("INSERT INTO stock (sku, available, held, sold) VALUES ($1, 0, 0, 0)", product.sku)
    return True


async def change(tx: Connection, product: Product) -> None:
    """Writes a product that is locked, and increases its version."""
    await _ensure_category(tx, product.category)
    await tx.execute(_CHANGE, *_values(product))


async def hide(tx: Connection, sku: str) -> None:
    await tx.execute("UPDATE products SET hidden = true, version = version + 1 WHERE sku = $1", sku)


async def restore(tx: Connection, sku: str) -> bool:
    """Undoes `hide`; a product that is not hidden does not change. Returns False if there is no such product."""
    restored = await tx.fetchval(
        "UPDATE products SET hidden = false, version = version + hidden::integer WHERE sku = $1 RETURNING true", sku
    )
    return restored is not None


async def is_hidden(connection: Connection, sku: str) -> bool:
    return bool(await connection.fetchval("SELECT hidden FROM products WHERE sku = $1", sku))


async def categories(connection: Connection) -> list[asyncpg.Record]:
    """Returns (slug, name, products) of each category with a product that is not hidden, by name.

    `products` is their number, up to COUNTED: to count a million products at each read would take 0.3 s.
    """
    return await connection.fetch(
        "SELECT slug, name, products FROM categories CROSS JOIN LATERAL (SELECT count(*) AS products FROM"
        " (SELECT FROM products WHERE category = slug AND NOT hidden LIMIT $1) AS shown) AS counted"
        " WHERE products > 0 ORDER BY name",
        COUNTED,
    )


async def _ensure_category(tx: Connection, slug: str) -> None:
    await tx.execute(
        "INSERT INTO categories (slug, name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        slug,
        category_name(slug),
    )


def _values(product: Product) -> list[object]:
    """Returns the values of $1, $2 …"""
    values: list[object] = [
        fold(product.name)[:200],  # folding can make a name longer than an index entry can hold
        indexed(fold(product.name)),
        indexed(fold(category_name(product.category))),
        indexed(fold(product.description)),
    ]
    for value in msgspec.structs.astuple(product):
        values += msgspec.structs.astuple(value) if isinstance(value, Price) else (value,)
    return values


def _fields(row: asyncpg.Record) -> tuple[Any, ...]:
    """Returns the fields of a Product, from a row that begins with COLUMNS."""
    return (*row[:_PRICE], Price(*row[_PRICE : _PRICE + 2]), *row[_PRICE + 2 : _WIDTH])
