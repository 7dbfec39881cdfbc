"""Every list of products has its index, searches have a bounded cost, and stock never falls below zero."""

from uuid import uuid4

import asyncpg
import pytest

from catalog.repository import search, spelling
from catalog.repository.search import Search
from catalog.repository.stock import HOLD_ALL, SELL_ALL
from chassis.db import Connection
from chassis.errors import Unavailable
from chassis.outbox import Draft, columns

FILL = """
SET LOCAL statement_timeout = '60s';
INSERT INTO categories SELECT 'c' || n, 'C' || n FROM generate_series(1, 20) AS n;
INSERT INTO products (sku, name, description, category, amount, currency, created_at, updated_at, folded_name,
                      search)
SELECT 'S' || n, 'n', '', 'c' || 1 + n % 20, n % 997, 'EUR', now(), now(), md5(n::text),
       to_tsvector('english', md5(n::text) || CASE WHEN n % 3 = 0 THEN ' tea' ELSE '' END
                              || CASE WHEN n % 500 = 0 THEN ' 绿茶杯 绿茶 茶杯 绿 茶 杯' ELSE '' END)
FROM generate_series(1, 20000) AS n;
INSERT INTO stock SELECT sku, 1, 0, 0 FROM products;
ANALYZE products, stock
"""


@pytest.mark.parametrize("column", ["available", "held", "sold"])
async def test_stock_below_zero_cannot_be_stored(db, add, column: str) -> None:
    """Even if the code computes a negative level, the database refuses it."""
    await add("TEA", stock=1)
    async with db.connection() as connection:
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(f"UPDATE stock SET {column} = -1")


@pytest.fixture
async def filled(db):
    async with db.connection() as connection:
        await connection.execute(FILL, timeout=60)
    return db


async def plan(connection: Connection, asked: Search, way: str = "") -> str:
    """Returns the plan of a first page; `way` is how a search is tried."""
    sql, arguments = search.statement(asked, None, 21)
    async with connection.transaction():
        await connection.execute(f"SET LOCAL random_page_cost = 1.1; {way}")  # as deploy/postgres has it
        return "\n".join(line[0] for line in await connection.fetch(f"EXPLAIN {sql}", *arguments))


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        (Search(sort="name"), "products_by_folded_name"),
        (Search(sort="price"), "products_by_amount"),
        (Search(sort="-price"), "products_by_amount"),
        (Search(sort="newest"), "products_by_created_at"),
        (Search(sort="name", category="c1"), "products_by_category_folded_name"),
        (Search(sort="price", category="c1"), "products_by_category_amount"),
        (Search(sort="newest", category="c1"), "products_by_category_created_at"),
        (Search(sort="price", min_price=10, max_price=12), "products_by_amount"),
    ],
)
async def test_every_list_has_its_index(filled, asked: Search, index: str) -> None:
    async with filled.connection() as connection:
        shown = await plan(connection, asked)
    assert f"{index} " in shown, shown
    assert "Seq Scan" not in shown, shown


RARE = "c81e728d9d4c2f636f067f89cc14862c"


@pytest.mark.parametrize("sort", ["relevance", "name", "price", "-price", "newest"])
@pytest.mark.parametrize("q", [RARE, "茶杯", "茶", f"tea {RARE}"])
async def test_products_with_a_rare_word_are_gathered(filled, q: str, sort: search.Sort) -> None:
    async with filled.connection() as connection:
        shown = await plan(connection, Search(q, sort=sort), search.PLANNED)
    assert "Bitmap Index Scan on products_search" in shown, shown


@pytest.mark.parametrize(
    ("sort", "index"),
    [("name", "folded_name"), ("price", "amount"), ("newest", "created_at")],
)
async def test_a_common_word_is_searched_in_the_order_of_the_list(filled, sort: search.Sort, index: str) -> None:
    async with filled.connection() as connection:
        everywhere = await plan(connection, Search("tea", sort=sort), search.PLANNED)
        within = await plan(connection, Search("tea", "c1", sort=sort), search.PLANNED)
        gathered = await plan(connection, Search("tea", sort=sort), search.GATHERED)
    assert f"products_by_{index} " in everywhere, everywhere
    assert f"products_by_category_{index} " in within, within
    assert "Bitmap Index Scan on products_search" in gathered, gathered


async def test_relevance_lists_a_limited_number_of_matches_and_other_sorts_list_all(filled) -> None:
    async with filled.connection() as connection:
        assert await pages(connection, Search("tea", sort="relevance")) == search.RANKED
        assert await pages(connection, Search("tea", sort="newest")) == 20_000 // 3


async def pages(connection: Connection, asked: Search) -> int:
    """Returns how many products all pages hold."""
    page = await search.find(connection, asked, None, 100)
    found = len(page.items)
    while page.next_cursor is not None:
        page = await search.find(connection, asked, page.next_cursor, 100)
        found += len(page.items)
    return found


async def test_a_search_that_takes_too_long_is_given_up(filled) -> None:
    async with filled.transaction() as other, filled.connection() as connection:
        await other.execute("LOCK TABLE products")
        with pytest.raises(Unavailable, match="search-too-broad"):
            await search.find(connection, Search("tea"), None, 20)


async def test_words_are_corrected_with_an_index(filled) -> None:
    async with filled.connection() as connection:
        lines = await connection.fetch(f"EXPLAIN {spelling.NEAREST}", ["waetring"])
    assert "words_similar" in "\n".join(line[0] for line in lines)


@pytest.mark.parametrize("statement", [HOLD_ALL, SELL_ALL], ids=["hold", "sell"])
async def test_orders_read_no_table_as_a_whole(filled, statement: str) -> None:
    order, drafts = uuid4(), [Draft("key", "subject", "{}", None)]
    arguments = ["catalog", [uuid4()], [order]]
    if statement is HOLD_ALL:
        arguments += [[order], ["S1"], [1], ["S1"], [1], *columns(drafts)]
    async with filled.connection() as connection:
        plan = "\n".join(line[0] for line in await connection.fetch(f"EXPLAIN {statement}", *arguments))
    assert "stock_pkey" in plan, plan
    assert "Seq Scan on stock" not in plan, plan
