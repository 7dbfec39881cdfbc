"""A shop that `bench.many_orders` made large is one that the audit accepts."""

import asyncio
from collections.abc import Callable

import asyncpg
import pytest
from shopper import Admin

from shopctl.bench.many_orders import make
from shopctl.shop import Shop

pytestmark = pytest.mark.timeout(120)


async def statuses(shop: Shop) -> dict[str, int]:
    connection = await asyncpg.connect(shop.place.database_url("auditor", "order"))
    try:
        return dict(await connection.fetch("SELECT status, count(*) FROM orders GROUP BY status"))
    finally:
        await connection.close()


def test_orders_are_added_until_there_are_so_many_and_all_is_consistent(
    shop: Shop, admin: Admin, audit: Callable[..., None]
) -> None:
    for _ in range(3):
        admin.product(stock=1)
    before = asyncio.run(statuses(shop))
    wanted = sum(before.values()) + 1000

    asyncio.run(make(shop.place, wanted - 500))
    asyncio.run(make(shop.place, wanted))

    after = asyncio.run(statuses(shop))
    added = {status: after[status] - before.get(status, 0) for status in after}
    undone = dict.fromkeys(("REJECTED", "PAYMENT_FAILED", "CANCELLED", "EXPIRED", "REFUNDED"), 10)
    assert added == {"CONFIRMED": 950} | undone
    audit()
