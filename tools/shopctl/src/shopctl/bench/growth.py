"""Measures a shop while it grows: with 10,000 orders and products, with ten times as many, and so on."""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import asyncpg
from rich.table import Table

from shopctl import archive
from shopctl.bench import many_orders, many_products
from shopctl.bench.checkout import LOADS, administrator, measure, prepared
from shopctl.bench.client import LoadFailed, request, send
from shopctl.bench.compare import started
from shopctl.bench.figures import Figure, number, percentile
from shopctl.place import Place
from shopctl.shop import Shop

__all__ = ["FAILURES", "grow", "measured", "sizes", "table"]

FIRST = 10_000
FACTOR = 10
WARM_UP = 100
REPEATED = 20
"""How often a page is read."""
WITH_ORDERS = (
    *("orders", "order_history", "reservations", "reservation_lines", "payments"),
    *("outbox_archive", "inbox"),
)
"""The tables that get rows with each order."""
FAILURES = (LoadFailed, OSError, asyncpg.PostgresError)


def grow(up_to: int, seconds: float, report: Callable[[str], None]) -> dict[int, list[Figure]]:
    """Start a native shop with data of its own, let it grow, and measure it; returns the figures of each size.

    Each search is measured for `seconds`.
    Raises StartError or one of FAILURES.
    """
    here = Place.here()
    report("a shop of its own: starting")
    found: dict[int, list[Figure]] = {}
    with started("scale", here.root, here) as shop:
        for count in sizes(up_to):
            report(f"{count:,} orders and products")
            asyncio.run(_make(shop.place, count))
            found[count] = asyncio.run(measured(shop, seconds))
    return found


def sizes(up_to: int) -> list[int]:
    """Return the numbers of orders and products at which the shop is measured."""
    found = [FIRST]
    while found[-1] < up_to:
        found.append(min(found[-1] * FACTOR, up_to))
    return found


async def _make(place: Place, count: int) -> None:
    await many_orders.make(place, count)
    await many_products.make(place.database_url("catalog"), count)


async def measured(shop: Shop, seconds: float, *, further: int = 2000) -> list[Figure]:
    """Measure a shop, at last with `further` orders. Raises one of FAILURES."""
    return [
        *await _disk(shop.place),
        *await asyncio.to_thread(_audit, shop.place),
        *await _replay(shop.place),
        *await _lists(shop),
        *await _search(shop, seconds),
        *await _checkout(shop, further),
    ]


async def _disk(place: Place) -> list[Figure]:
    """Measure the tables that grow with orders, with their indexes."""
    tables: dict[str, int] = {}
    async with _connected(place, "order") as order:
        orders = await order.fetchval("SELECT count(*) FROM orders")
    for service in place.services.outboxes:
        async with _connected(place, service) as connection:
            rows = await connection.fetch(
                "SELECT relname, pg_total_relation_size(oid) AS size FROM pg_class"
                " WHERE relkind = 'r' AND relname = ANY ($1)",
                WITH_ORDERS,
            )
            tables |= {f"  {service}: {row['relname']}": row["size"] for row in rows}
    largest = sorted(tables.items(), key=lambda each: -each[1])
    return [
        Figure("disk", "tables and indexes", sum(tables.values()) / orders, "bytes an order"),
        *(Figure("disk", name, size / orders, "bytes an order") for name, size in largest),
    ]


def _audit(place: Place) -> list[Figure]:
    """Audit the whole shop, in a process of its own. Raises LoadFailed if it is not clean."""
    began, peak = time.monotonic(), 0
    ours = {"SHOP_RUN": str(place.run), "SHOP_PORT_OFFSET": str(place.offset), "RUNTIME": "native"}
    with subprocess.Popen(
        [sys.executable, "-m", "shopctl", "audit"], env={**os.environ, **ours}, stdout=subprocess.DEVNULL
    ) as audit:
        while audit.poll() is None:
            peak = max(peak, _peak(audit.pid))
            time.sleep(0.05)
    if audit.returncode:
        raise LoadFailed("the audit is not clean")
    return [
        Figure("audit", "the whole shop", time.monotonic() - began, "s"),
        Figure("audit", "most memory", peak / 1e6, "MB"),
    ]


def _peak(pid: int) -> int:
    """Return the largest resident set of a process so far, in bytes; 0 if it has ended."""
    with contextlib.suppress(OSError):
        if found := re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()):
            return 1024 * int(found[1])
    return 0


async def _replay(place: Place) -> list[Figure]:
    """Measure pages of a replay of half of the events. The first one looks for the first of these."""
    since = datetime.now(UTC) - many_orders.PAST / 2
    took, last = [], UUID(int=0)
    async with _connected(place, "order") as order:
        for _ in range(REPEATED):
            began = time.monotonic()
            rows = await archive.page(order, last, since)
            if not rows:
                break
            took.append(1000 * (time.monotonic() - began))
            last = rows[-1]["id"]
    return [
        Figure("replay", "first page of 1000", took[0], "ms"),
        Figure("replay", "a later page, p50", percentile(took[1:], 0.5), "ms"),
    ]


async def _lists(shop: Shop) -> list[Figure]:
    """Measure the lists of the back office."""
    token = await administrator(shop)
    pages = {"all orders": "", "EXPIRED orders": "&status=EXPIRED", "orders without progress": "&waiting_seconds=60"}
    figures = []
    for name, filters in pages.items():
        get = request("GET", f"/api/admin/orders?limit=50{filters}", token=token)
        answers = await send(shop.address("edge"), [get] * REPEATED, expect=200, connections=1)
        figures.append(Figure("lists", f"{name}, p50", 1000 * percentile([each.took for each in answers], 0.5), "ms"))
    return figures


async def _search(shop: Shop, seconds: float) -> list[Figure]:
    host, port = shop.address("catalog")
    found = await many_products.measure(f"http://{host}:{port}", seconds)
    return [Figure("search", f"{name}, p95", p95, "ms") for name, _, p95 in found]


async def _checkout(shop: Shop, further: int) -> list[Figure]:
    orders = await prepared(shop, WARM_UP + further)
    await measure(shop, LOADS[0], orders[:WARM_UP])
    found = await measure(shop, LOADS[0], orders[WARM_UP:])
    return [each for each in found if each.name in ("CPU per order", "POST to CONFIRMED, p95")]


@contextlib.asynccontextmanager
async def _connected(place: Place, service: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(place.database_url("auditor", service), timeout=5)
    try:
        yield connection
    finally:
        await connection.close()


def table(figures: Mapping[int, Sequence[Figure]]) -> Table:
    """Return a row for each figure, and a column for each number of orders and products."""
    result = Table(box=None, pad_edge=False)
    for heading in ("", "figure"):
        result.add_column(heading)
    for count in figures:
        result.add_column(f"{count:,}", justify="right")
    result.add_column("unit")
    section = ""
    columns = [{(each.section, each.name): each for each in found} for found in figures.values()]
    for (group, name), figure in columns[-1].items():
        first, section = (group if group != section else ""), group
        values = [number(column[group, name].value) for column in columns]
        result.add_row(f"[bold]{first}[/bold]", name, *values, figure.unit)
    return result
