"""A shop that `bench.many_orders` made large is one that the audit accepts."""

import asyncio
from collections.abc import Callable

import asyncpg
import pytest
from shopper import Admin

from shopctl.bench.many_orders import make
from shopctl.shop import Shop

pytestmark = pytest.mark.timeout(120)


def rows(shop: Shop, query: str) -> list[asyncpg.Record]:
    async def fetch() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(shop.place.database_url("auditor", "order"))
        try:
            return await connection.fetch(query)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def statuses(shop: Shop) -> dict[str, int]:
    return dict(rows(shop, "SELECT status, count(*) FROM orders GROUP BY status"))


def enough_products(admin: Admin) -> None:
    for _ in range(3):
        admin.product(stock=1)


def test_orders_are_added_until_there_are_so_many_and_all_is_consistent(
    shop: Shop, admin: Admin, audit: Callable[..., None]
) -> None:
    enough_products(admin)
    before = statuses(shop)
    wanted = sum(before.values()) + 1000

    asyncio.run(make(shop.place, wanted - 500))
    asyncio.run(make(shop.place, wanted))

    after = statuses(shop)
    added = {status: after[status] - before.get(status, 0) for status in after}
    undone = dict.fromkeys(("REJECTED", "PAYMENT_FAILED", "CANCELLED", "EXPIRED", "REFUNDED"), 10)
    assert added == {"CONFIRMED": 950} | undone
    audit()


def test_an_audit_that_continues_the_last_one_looks_again_at_an_old_order_that_is_refunded(
    shop: Shop, admin: Admin, audit: Callable[..., None]
) -> None:
    enough_products(admin)
    asyncio.run(make(shop.place, 100))
    audit()
    (oldest,) = rows(shop, "SELECT id FROM orders WHERE status = 'CONFIRMED' ORDER BY id LIMIT 1")

    admin.http.post(f"/api/admin/orders/{oldest['id']}/refund").raise_for_status()

    audit("--since-last")
    assert rows(shop, f"SELECT status FROM orders WHERE id = '{oldest['id']}'") == [("REFUNDED",)]
