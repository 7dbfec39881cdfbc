"""The migrations make the schema that the tables describe, and the previous release runs on it."""

import importlib
import json

import msgspec
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.ext.asyncio import create_async_engine

from catalog import usecases
from catalog.repository import products
from catalog.tables import metadata
from chassis.testing import schema


async def test_the_migrations_make_what_the_models_describe(database) -> None:
    migrated, modelled = database("catalog"), database(None)
    await schema.create(modelled, metadata, "pg_trgm")
    assert await schema.described(migrated) == await schema.described(modelled)


async def run(migration: str, url: str) -> None:
    """Runs one migration alone, on a schema that may be newer."""
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1))
    async with engine.begin() as connection:

        def upgrade(sync) -> None:
            with Operations.context(MigrationContext.configure(sync)):
                importlib.import_module(f"catalog.migrations.versions.{migration}").upgrade()

        await connection.run_sync(upgrade)
    await engine.dispose()


async def test_stored_products_are_indexed_again(url: str, db, add) -> None:
    await add("CUP", name="绿茶杯 蓝色", description="配两个茶杯。", category="tea-and-cups")
    await add("MUG", name="Blue Mug")
    async with db.connection() as connection:
        now = await connection.fetch("SELECT sku, search FROM products ORDER BY sku")
        await connection.execute(
            """
            UPDATE products SET search = setweight(to_tsvector('english', folded_name), 'A')
                || setweight(to_tsvector('english', 'tea & cups'), 'B')
                || setweight(to_tsvector('english', description), 'C')
            WHERE sku = 'CUP'
            """
        )
        assert await connection.fetch("SELECT sku, search FROM products ORDER BY sku") != now

    await run("0002_grams", url)

    async with db.connection() as connection:
        assert await connection.fetch("SELECT sku, search FROM products ORDER BY sku") == now


async def test_the_previous_release_shows_what_this_one_writes(db, add) -> None:
    """It reads `document`, and appends the stock and a brace."""
    await add("MUG", stock=5, name='Café "Mug"')
    await usecases.change_product(db, "MUG", None, {"description": "Holds 300 ml.\n", "image_url": "/mug.webp"})

    async with db.connection() as connection:
        await connection.execute("SET TIME ZONE 'Asia/Tokyo'")
        await connection.execute("UPDATE products SET version = version")
        row = await connection.fetchrow("SELECT document, available FROM products JOIN stock USING (sku)")
        product, _ = await products.get(connection, "MUG")

    shown = json.loads(f"{row['document']}{row['available']}}}")
    fields = ["sku", "name", "description", "category", "price", "image_url", "updated_at", "available"]
    assert list(shown) == fields
    assert shown["updated_at"].endswith("+00:00")
    assert msgspec.convert(shown, type(product)) == product


async def test_this_release_shows_what_the_previous_one_writes(db, add) -> None:
    await add("MUG")

    async with db.connection() as connection:
        await connection.execute(
            """
            INSERT INTO products (sku, name, description, category, amount, currency, image_url,
                                  folded_name, document, search, created_at, updated_at)
            VALUES ('CUP', 'Cup', '', 'tea', 5, 'EUR', NULL, 'cup', '{"sku":"CUP","available":', '', now(), now())
            """
        )
        await connection.execute("INSERT INTO stock (sku, available, held, sold) VALUES ('CUP', 0, 0, 0)")
        await connection.execute("UPDATE products SET name = 'Mug 2', document = '{' WHERE sku = 'MUG'")
        names = [(await products.get(connection, sku))[0].name for sku in ("CUP", "MUG")]

    assert names == ["Cup", "Mug 2"]


async def test_a_search_is_corrected_to_words_of_all_products(db, add) -> None:
    """Of those stored before the words were, of those of this release, and of those of the previous one."""
    await add("CUP", name="Teacup")
    async with db.connection() as connection:
        await connection.execute("DROP TABLE words")
        for statement in importlib.import_module("catalog.migrations.versions.0005_words").STATEMENTS:
            await connection.execute(statement)
        await connection.execute("UPDATE products SET folded_name = 'beaker' WHERE sku = 'CUP'")
        await add("MUG", name="Espresso Mug")
        words = await connection.fetch("SELECT word FROM words ORDER BY word")
    assert [row["word"] for row in words] == ["beaker", "espresso", "mug", "teacup"]
