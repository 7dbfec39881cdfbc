"""Every list of products has its index, and stock never falls below zero."""

from uuid import uuid4

import asyncpg
import pytest

from catalog.repository.search import Search, statement
from catalog.repository.stock import HOLD_ALL, SELL_ALL
from chassis.outbox import Draft, columns

FILL = """
SET LOCAL statement_timeout = '60s';
INSERT INTO categories SELECT 'c' || n, 'C' || n FROM generate_series(1, 20) AS n;
INSERT INTO products (sku, name, description, category, amount, currency, created_at, updated_at, folded_name,
                      search)
SELECT 'S' || n, 'n', '', 'c' || 1 + n % 20, n % 997, 'EUR', now(), now(), md5(n::text),
       to_tsvector('english', md5(n::text) || CASE WHEN n % 500 = 0 THEN ' 绿茶杯 绿茶 茶杯 绿 茶 杯' ELSE '' END)
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


async def test_every_list_has_its_index(filled) -> None:
    cases = [
        (Search(sort="name"), False, "products_by_folded_name"),
        (Search(sort="price"), False, "products_by_amount"),
        (Search(sort="-price"), False, "products_by_amount"),
        (Search(sort="newest"), False, "products_by_created_at"),
        (Search(sort="name", category="c1"), False, "products_by_category_folded_name"),
        (Search(sort="price", category="c1"), False, "products_by_category_amount"),
        (Search(sort="newest", category="c1"), False, "products_by_category_created_at"),
        (Search(sort="price", min_price=10, max_price=12), False, "products_by_amount"),
        (Search(q="c81e728d9d4c2f636f067f89cc14862c", sort="relevance"), False, "products_search"),
        (Search(q="茶杯", sort="relevance"), False, "products_search"),
        (Search(q="茶", sort="relevance"), False, "products_search"),
        (Search(q="c81e728d9d4c2f636f067f89cc14862d", sort="relevance"), True, "products_similar"),
    ]
    async with filled.connection() as connection:
        await connection.execute("SET random_page_cost = 1.1")  # as deploy/postgres has it
        for search, similar, index in cases:
            sql, arguments = statement(search, None, 21, similar=similar)
            lines = await connection.fetch(f"EXPLAIN {sql}", *arguments)
            plan = "\n".join(line[0] for line in lines)
            assert f"{index} " in plan, plan
            assert "Seq Scan" not in plan, plan


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
