"""Reservations are counted by outcome, and products without stock by a gauge."""

from uuid import uuid4

from prometheus_client import REGISTRY

from catalog import usecases
from catalog.jobs import measure
from chassis.db import Database


def reservations() -> tuple[float, float]:
    found = [
        REGISTRY.get_sample_value("quayside_stock_reservations_total", {"outcome": outcome})
        for outcome in ("reserved", "rejected")
    ]
    return found[0] or 0, found[1] or 0


async def test_an_order_is_counted_once_as_reserved_or_rejected(db: Database, add, events) -> None:
    await add("A", stock=3)
    released = events.release(uuid4())
    await usecases.release(db, [released])
    batch = [events.reserve(uuid4(), {"A": 2}), events.reserve(uuid4(), {"A": 1}), events.reserve(uuid4(), {"A": 1})]
    before = reservations()

    await usecases.reserve(db, batch)
    await usecases.reserve(db, batch)
    await usecases.reserve(db, [events.reserve(released.data.order_id, {"A": 1})])

    reserved, rejected = reservations()
    assert (reserved - before[0], rejected - before[1]) == (2, 1)


async def test_products_on_sale_without_stock_are_counted(db: Database, add) -> None:
    for sku, stock in (("A", 0), ("B", 0), ("C", 1)):
        await add(sku, stock=stock)
    await usecases.hide_product(db, "B", None)

    await measure(db)

    assert REGISTRY.get_sample_value("quayside_products_sold_out") == 1
