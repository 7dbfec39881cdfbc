"""Queries for products one at a time, and for categories."""

from datetime import datetime
from typing import NamedTuple

import asyncpg

from catalog.models import Price, Product, category_name, fold, rendered
from catalog.repository.grams import indexed
from chassis.db import Connection

__all__ = ["Shown", "add", "categories", "change", "get", "hide", "is_hidden", "lock", "now", "restore"]

# $2 … of both statements that write a product; the vector weighs name over category over description.
_VECTOR = (
    "setweight(to_tsvector('english', $13), 'A') || setweight(to_tsvector('english', $10), 'B')"
    " || setweight(to_tsvector('english', $11), 'C')"
)
_ADD = f"""
INSERT INTO products (sku, name, description, category, amount, currency, image_url,
                      folded_name, document, search, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, {_VECTOR}, $12, $12)
ON CONFLICT DO NOTHING RETURNING sku
"""  # noqa: S608
_CHANGE = f"""
UPDATE products SET name = $2, description = $3, category = $4, amount = $5, currency = $6, image_url = $7,
                    folded_name = $8, document = $9, search = {_VECTOR}, updated_at = $12,
                    version = version + 1
WHERE sku = $1
"""  # noqa: S608


class Shown(NamedTuple):
    """A product as it is read: `json` is complete."""

    json: str
    version: int
    available: int


async def get(connection: Connection, sku: str) -> Shown | None:
    """None when there is no such product, or it is hidden."""
    row = await connection.fetchrow(
        "SELECT document, version, available FROM products JOIN stock USING (sku) WHERE sku = $1 AND NOT hidden",
        sku,
    )
    if row is None:
        return None
    document, version, available = row
    return Shown(f"{document}{available}}}", version, available)


async def lock(tx: Connection, sku: str) -> tuple[Product, int] | None:
    """The product and its version, locked; None when there is none, or it is hidden."""
    row = await tx.fetchrow(
        "SELECT sku, name, description, category, amount, currency, image_url, updated_at, version FROM products"
        " WHERE sku = $1 AND NOT hidden FOR NO KEY UPDATE",
        sku,
    )
    return None if row is None else (_product(row), row["version"])


async def now(tx: Connection) -> datetime:
    """The time by the one clock that all processes share."""
    time: datetime = await tx.fetchval("SELECT now()")
    return time


async def add(tx: Connection, product: Product) -> bool:
    """Adds a product without stock, and its category if that is new; False when the SKU is taken."""
    await _ensure_category(tx, product.category)
    if await tx.fetchval(_ADD, *_values(product)) is None:
        return False
    await tx.execute("INSERT INTO stock (sku, available, held, sold) VALUES ($1, 0, 0, 0)", product.sku)
    return True


async def change(tx: Connection, product: Product) -> None:
    """Writes a product that is locked, and counts its version up."""
    await _ensure_category(tx, product.category)
    await tx.execute(_CHANGE, *_values(product))


async def hide(tx: Connection, sku: str) -> None:
    await tx.execute("UPDATE products SET hidden = true, version = version + 1 WHERE sku = $1", sku)


async def restore(tx: Connection, sku: str) -> bool:
    """Undoes `hide`; what is shown stays as it is. False when there is no such product."""
    restored = await tx.fetchval(
        "UPDATE products SET hidden = false, version = version + hidden::integer WHERE sku = $1 RETURNING true", sku
    )
    return restored is not None


async def is_hidden(connection: Connection, sku: str) -> bool:
    return bool(await connection.fetchval("SELECT hidden FROM products WHERE sku = $1", sku))


async def categories(connection: Connection) -> list[asyncpg.Record]:
    """(slug, name, products) of categories that show any product, by name."""
    return await connection.fetch(
        "SELECT slug, name, products FROM categories JOIN"
        " (SELECT category, count(*) AS products FROM products WHERE NOT hidden GROUP BY category) AS counted"
        " ON category = slug ORDER BY name"
    )


async def _ensure_category(tx: Connection, slug: str) -> None:
    await tx.execute(
        "INSERT INTO categories (slug, name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        slug,
        category_name(slug),
    )


def _values(product: Product) -> tuple[str | int | datetime | None, ...]:
    return (
        product.sku,
        product.name,
        product.description,
        product.category,
        product.price.amount,
        product.price.currency,
        product.image_url,
        fold(product.name)[:200],  # folding can lengthen a name beyond what an index entry holds
        rendered(product),
        indexed(fold(category_name(product.category))),
        indexed(fold(product.description)),
        product.updated_at,
        indexed(fold(product.name)),
    )


def _product(row: asyncpg.Record) -> Product:
    return Product(
        sku=row["sku"],
        name=row["name"],
        description=row["description"],
        category=row["category"],
        price=Price(row["amount"], row["currency"]),
        image_url=row["image_url"],
        updated_at=row["updated_at"],
    )
