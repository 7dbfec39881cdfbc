"""`shopctl bench-scale` measures a shop at each size."""

import asyncio
from collections.abc import Callable

import asyncpg
import pytest
from shopper import Admin

from shopctl.bench.growth import measured, sizes
from shopctl.bench.many_orders import make
from shopctl.shop import Shop

pytestmark = pytest.mark.timeout(240)


async def number_of_orders(shop: Shop) -> int:
    connection = await asyncpg.connect(shop.place.database_url("auditor", "order"))
    try:
        return int(await connection.fetchval("SELECT count(*) FROM orders"))
    finally:
        await connection.close()


def test_the_sizes_are_powers_of_ten_and_the_largest_one_that_is_asked_for() -> None:
    assert sizes(10_000) == [10_000]
    assert sizes(300_000) == [10_000, 100_000, 300_000]


def test_disk_audit_replay_lists_searches_and_orders_are_measured(
    shop: Shop, admin: Admin, audit: Callable[..., None]
) -> None:
    for _ in range(3):
        admin.product(stock=1)
    asyncio.run(make(shop.place, asyncio.run(number_of_orders(shop)) + 2000))
    audit()
    count = asyncio.run(number_of_orders(shop))

    figures = asyncio.run(measured(shop, 0.1, further=64))

    assert {each.section for each in figures} == {"disk", "audit", "replay", "lists", "search", "64 at once"}
    assert all(each.value > 0 for each in figures)
    assert asyncio.run(number_of_orders(shop)) == count + 100 + 64
    audit()
