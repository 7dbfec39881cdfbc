"""Runs the sections of the benchmark one after the other."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from itertools import islice

import asyncpg

from shopctl.bench import cache, hot_sku, pages, reads
from shopctl.bench.checkout import LOADS, measure, place_one, prepared
from shopctl.bench.client import LoadFailed
from shopctl.bench.counters import counted
from shopctl.bench.figures import Figure
from shopctl.bench.usage import measured, memory
from shopctl.shop import Shop

__all__ = ["FAILURES", "Extent", "run", "starting"]

WARM_UP = 100
FAILURES = (LoadFailed, OSError, asyncpg.PostgresError)


@dataclass(frozen=True)
class Extent:
    """Orders at 64 at once, seconds for each other measurement, and units of the hot SKU."""

    orders: int
    seconds: float
    stock: int


async def run(shop: Shop, only: Collection[str], extent: Extent, report: Callable[[str], None]) -> list[Figure]:
    """Run the sections in `only`. Raises one of FAILURES."""
    figures: list[Figure] = []
    sections: dict[str, Callable[[], Awaitable[list[Figure]]]] = {
        "checkout": lambda: _checkout(shop, extent),
        "hot-sku": lambda: hot_sku.hot_sku(shop, extent.stock),
        "reads": lambda: reads.catalog(shop, extent.seconds),
        "cart": lambda: reads.cart(shop, extent.seconds),
        "cache": lambda: cache.cached(shop, extent.seconds),
        "pages": lambda: pages.pages(shop, extent.seconds),
        "idle": lambda: _idle(shop, extent.seconds),
        "memory": lambda: _memory(shop),
    }
    for name in sections:
        if name in only:
            report(name)
            figures += await sections[name]()
    return figures


async def _checkout(shop: Shop, extent: Extent) -> list[Figure]:
    """Measure orders after a warm-up, which fills pools and prepares statements."""
    numbers = [load.orders(extent.orders, extent.seconds) for load in LOADS]
    orders = iter(await prepared(shop, WARM_UP + sum(numbers)))
    await measure(shop, LOADS[0], [*islice(orders, WARM_UP)])
    figures: list[Figure] = []
    for load, number in zip(LOADS, numbers, strict=True):
        await asyncio.sleep(1)
        async with counted(shop) as counts:
            found = await measure(shop, load, [*islice(orders, number)])
        figures += found
        figures += [Figure(load.name, name, count / found[0].value, "per order") for name, count in counts.items()]
    return figures


async def _idle(shop: Shop, seconds: float) -> list[Figure]:
    """Measure the cost of polling and heartbeats without orders."""
    with measured(shop) as usage:
        await asyncio.sleep(seconds)
    return [Figure("idle", "CPU of an idle shop", 1000 * usage.total / seconds, "ms per second")]


async def _memory(shop: Shop) -> list[Figure]:
    sizes = memory(shop)
    everything = Figure("memory", "PSS of all processes", sum(sizes.values()) / 1e6, "MB", "≤ 600")
    return [everything, *(Figure("memory", f"  {name}", size / 1e6, "MB") for name, size in sizes.items())]


def starting(shop: Shop) -> list[Figure]:
    """Restart the shop and place an order, and measure the time. Raises one of FAILURES, or StartError."""
    with shop.place.exclusively():
        shop.down()
        began = time.monotonic()
        shop.up(lambda name, seconds: None)
    ready = time.monotonic() - began
    asyncio.run(place_one(shop))
    confirmed = time.monotonic() - began
    return [
        Figure("up", "until everything is ready", ready, "s"),
        Figure("up", "until the first order is CONFIRMED", confirmed, "s", "≤ 15"),
    ]
