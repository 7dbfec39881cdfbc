"""The queries by status use the partial indexes, and a stored status sets what depends on it."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from chassis.db import Connection, Database
from order import repository
from order.models import FAILED, OPEN, UNDOING, Status

Query = Callable[[Connection], Awaitable[Any]]


async def latest(status: Status, tx: Connection) -> Any:
    return await repository.latest(tx, 10, status=status)


QUERIES: list[tuple[str, Query]] = [
    ("orders_open", lambda tx: repository.due_for_expiry(tx, 10)),
    ("orders_undoing", lambda tx: repository.due_for_undo(tx, 60, 10)),
    ("orders_cart", lambda tx: repository.cart_was_ordered(tx, "ann", "a version")),
    ("orders_open", repository.open_orders),
    ("orders_undoing", repository.open_orders),
    *(("orders_open", partial(latest, status)) for status in sorted(OPEN)),
    *(("orders_undoing", partial(latest, status)) for status in sorted(UNDOING)),
    *(("orders_unsold", partial(latest, status)) for status in sorted(FAILED | {Status.REFUNDED})),
]


@pytest.mark.parametrize(("index", "query"), QUERIES)
async def test_a_query_by_status_uses_its_partial_index(db: Database, index: str, query: Query) -> None:
    async with db.transaction() as tx:
        await tx.execute("SET LOCAL enable_seqscan = off")  # the table is empty
        await query(tx)
        assert await tx.fetchval("SELECT pg_stat_get_xact_numscans($1::text::regclass)", index) == 1


async def test_only_an_undo_records_when_it_was_sent(shop: Any) -> None:
    id = (await shop.placement.place(shop.request())).order_id
    sent = []
    async with shop.db.transaction() as tx:
        for status in Status:
            await repository.move(tx, [(id, status, None)])
            sent += [status] if await tx.fetchval("SELECT undo_sent_at FROM orders") else []
    assert set(sent) == UNDOING
