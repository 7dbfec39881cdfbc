"""Measures reservations of a single SKU through the catalog's use case, until after it is sold out.

It uses a separate database on the shop's PostgreSQL, because these reservations belong to no order.
"""

import asyncio
import time
import uuid

import asyncpg

from catalog import usecases
from catalog.messages import Line, ReserveStock
from chassis.db import Database, migrations
from chassis.ids import uuid7
from chassis.messages import Event
from shopctl.bench.client import LoadFailed
from shopctl.bench.figures import Figure
from shopctl.bench.usage import measured
from shopctl.shop import Shop

__all__ = ["hot_sku"]

SECTION = "hot SKU"
SKU = "HOT-1"
BATCH = 256  # the largest batch of a consumer
WORKERS = 2
BEYOND = 0.5  # the share of reservations beyond the stock


async def hot_sku(shop: Shop, stock: int) -> list[Figure]:
    """Measure the throughput. Raises LoadFailed if the reserved units differ from the stock."""
    name = f"bench_{uuid.uuid4().hex[:12]}"
    server = f"postgresql://postgres:{shop.place.passwords['postgres']}@127.0.0.1:{shop.place.port('postgres')}"
    admin = await asyncpg.connect(f"{server}/postgres")
    try:
        await admin.execute(f"CREATE DATABASE {name}")
        try:
            await asyncio.to_thread(migrations.upgrade, "catalog", f"{server}/{name}")
            async with Database(f"{server}/{name}", name="bench", size=WORKERS) as db:
                await _fill(db, stock)
                return await _sell_out(shop, db, stock)
        finally:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


async def _fill(db: Database, stock: int) -> None:
    async with db.transaction() as tx:
        await tx.execute("INSERT INTO categories (slug, name) VALUES ('hot', 'Hot')")
        await tx.execute(
            "INSERT INTO products (sku, name, description, category, amount, currency, created_at, updated_at,"
            " folded_name, search, document) VALUES ($1, '', '', 'hot', 1, 'EUR', now(), now(), '', '', '')",
            SKU,
        )
        await tx.execute("INSERT INTO stock (sku, available, held, sold) VALUES ($1, $2, 0, 0)", SKU, stock)


async def _sell_out(shop: Shop, db: Database, stock: int) -> list[Figure]:
    wanted = [_reserve() for _ in range(int(stock * (1 + BEYOND)))]
    batches = [wanted[start : start + BATCH] for start in range(0, len(wanted), BATCH)]
    await usecases.reserve(db, batches.pop(0))  # opens the connections
    last = -(-stock // BATCH)  # batches up to here have stock

    with measured(shop) as usage:
        began, cpu = time.monotonic(), time.process_time()
        await _run(db, batches[: last - 1])
        sold_out = time.monotonic()
        await _run(db, batches[last - 1 :])
        ended = time.monotonic()
        ours = time.process_time() - cpu

    async with db.connection() as connection:
        level = await connection.fetchrow("SELECT available, held FROM stock")
        held = await connection.fetchval("SELECT coalesce(sum(quantity), 0)::bigint FROM reservation_lines")
    if level is None or (level["available"], level["held"], held) != (0, stock, stock):
        raise LoadFailed(f"{held} of {stock} units were reserved, but the stock is {level}")
    before, after = sum(map(len, batches[: last - 1])), sum(map(len, batches[last - 1 :]))
    return [
        Figure(SECTION, "reservations per second", before / (sold_out - began), "/s", "≥ 8,000"),
        Figure(SECTION, "decisions per second after it is sold out", after / (ended - sold_out), "/s", "no collapse"),
        Figure(SECTION, "units oversold", held - stock, "units", "0"),
        Figure(SECTION, "CPU per decision", 1000 * (ours + usage.of("postgres")) / (before + after), "ms"),
    ]


async def _run(db: Database, batches: list[list[Event[ReserveStock]]]) -> None:
    turns = iter(batches)

    async def work() -> None:
        for batch in turns:
            await usecases.reserve(db, batch)

    await asyncio.gather(*(work() for _ in range(WORKERS)))


def _reserve() -> Event[ReserveStock]:
    order = uuid7()
    return Event(uuid7(), str(order), ReserveStock(order_id=order, lines=(Line(SKU, 1),)))
