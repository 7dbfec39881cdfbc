"""Measures orders of three lines, from POST to CONFIRMED: throughput, latency and CPU time."""

import asyncio
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import asyncpg

from shopctl.bench.client import LoadFailed, request, send
from shopctl.bench.figures import Figure, percentile
from shopctl.bench.load import Answer
from shopctl.bench.usage import NOT_OURS, Usage, measured
from shopctl.shop import Shop
from shopctl.statuses import OPEN

__all__ = ["ADDRESS", "LOADS", "Load", "administrator", "measure", "place_one", "placing", "prepared", "settled"]

LINES = 3
PRODUCTS = 60
PATIENCE_SECONDS = 60
ADDRESS = {"name": "Ada Lovelace", "line1": "1 Quay", "city": "Cork", "postal_code": "T12", "country": "IE"}


@dataclass(frozen=True)
class Load:
    """How orders come: from `connections` clients, each of which waits for the answer, or `rate` of them per second."""

    name: str
    connections: int = 64
    rate: float | None = None
    aim: str = ""
    """The orders that should be confirmed per CPU-second."""

    def orders(self, most: int, seconds: float) -> int:
        """Return how many orders to measure: `most` at 64 at once, fewer at fewer; at a rate, those of `seconds`."""
        return int(self.rate * seconds) if self.rate else most * self.connections // 64


LOADS = (
    Load("64 at once", aim="≥ 400"),
    Load("16 at once", connections=16),
    *(Load(f"{rate} orders/s", rate=rate) for rate in (200, 50, 10)),
)


async def prepared(shop: Shop, count: int) -> list[str]:
    """Create `count` guests with filled carts and enough stock; returns the POST that orders each cart."""
    edge = shop.address("edge")
    (page,) = await send(edge, [request("GET", f"/api/catalog/products?limit={PRODUCTS}")], expect=200)
    prices = {item["sku"]: item["price"]["amount"] for item in json.loads(page.body)["items"]}
    if len(prices) < LINES:
        raise LoadFailed("there are no products: `make seed` adds some")
    await _restock(shop, list(prices), count * LINES)
    guests = await send(edge, [request("POST", "/api/identity/guests")] * count, expect=201)
    tokens = [json.loads(guest.body)["access_token"] for guest in guests]
    choice = random.Random(1)  # noqa: S311 - each run orders the same products
    carts = [choice.sample(sorted(prices), LINES) for _ in tokens]
    answers: list[Answer] = []
    for line in range(LINES):
        puts = [
            request("PUT", f"/api/cart/items/{cart[line]}", token=token, body={"quantity": 1})
            for token, cart in zip(tokens, carts, strict=True)
        ]
        answers = await send(edge, puts, expect=200)
    return [
        placing(token, json.loads(answer.body)["version"], sum(prices[sku] for sku in cart))
        for token, cart, answer in zip(tokens, carts, answers, strict=True)
    ]


def placing(token: str, cart_version: str, total: int) -> str:
    """Returns the POST that orders a cart, with a new key. `total` is in cents."""
    body = {
        "cart_version": cart_version,
        "payment_method": "tok_visa",
        "shipping_address": ADDRESS,
        "expected_total": {"amount": total, "currency": "EUR"},
    }
    return request("POST", "/api/orders", token=token, body=body, Idempotency_Key=str(uuid.uuid4()))


async def place_one(shop: Shop) -> None:
    """Place an order and wait until it is CONFIRMED. Raises LoadFailed."""
    answers = await send(shop.address("edge"), await prepared(shop, 1), expect=202)
    await _confirmed(shop, answers)


async def measure(shop: Shop, load: Load, orders: Sequence[str]) -> list[Figure]:
    """Place these orders, and wait until all are settled. Raises LoadFailed."""
    with measured(shop) as usage:
        answers = await send(shop.address("edge"), orders, connections=load.connections, rate=load.rate)
        accepted = [answer for answer in answers if answer.status == 202]
        confirmed = await _confirmed(shop, accepted)
    waits = [at - answer.at for answer, at in confirmed]
    span = max(at for _, at in confirmed) - min(answer.at for answer in answers)
    refused = Counter(answer.status for answer in answers if answer.status != 202)
    count = len(confirmed)
    return [
        Figure(load.name, "orders confirmed", count, "orders"),
        *(Figure(load.name, f"answered {status}", number, "requests", "0") for status, number in refused.items()),
        Figure(load.name, "confirmed per second", count / span, "orders/s"),
        Figure(load.name, "confirmed per CPU-second", count / usage.total, "orders/CPU-s", load.aim),
        Figure(load.name, "POST to answer, p50", 1000 * percentile([each.took for each in accepted], 0.5), "ms"),
        Figure(load.name, "POST to CONFIRMED, p50", 1000 * percentile(waits, 0.5), "ms"),
        Figure(load.name, "POST to CONFIRMED, p95", 1000 * percentile(waits, 0.95), "ms", "≤ 300" if load.rate else ""),
        Figure(load.name, "CPU per order", 1000 * usage.total / count, "ms"),
        *_by_process(load.name, usage, count),
    ]


def _by_process(section: str, usage: Usage, orders: int) -> list[Figure]:
    shares = sorted(usage.seconds.items(), key=lambda each: -each[1])
    return [
        Figure(section, f"  {name}", 1000 * seconds / orders, "ms per order")
        for name, seconds in shares
        if name not in NOT_OURS
    ]


async def settled(shop: Shop) -> None:
    """Wait until no order is open. Raises LoadFailed if one remains."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    connection = await asyncpg.connect(shop.place.database_url("auditor", "order"))
    try:
        while await connection.fetchval("SELECT EXISTS (SELECT FROM orders WHERE status = ANY ($1::text[]))", OPEN):
            if time.monotonic() > deadline:
                raise LoadFailed(f"orders were still open {PATIENCE_SECONDS} s after the last POST")
            await asyncio.sleep(0.1)
    finally:
        await connection.close()


async def _confirmed(shop: Shop, accepted: Sequence[Answer]) -> list[tuple[Answer, float]]:
    """Wait for the orders; returns each POST with the time when its order was CONFIRMED, in seconds since 1970."""
    ids = {uuid.UUID(json.loads(answer.body)["id"]): answer for answer in accepted}
    await settled(shop)
    connection = await asyncpg.connect(shop.place.database_url("auditor", "order"))
    try:
        rows = await connection.fetch(
            "SELECT order_id, extract(epoch FROM at)::float8 AS at FROM order_history"
            " WHERE status = 'CONFIRMED' AND order_id = ANY ($1::uuid[])",
            list(ids),
        )
    finally:
        await connection.close()
    if not rows:
        raise LoadFailed("no order was confirmed")
    return [(ids[row["order_id"]], row["at"]) for row in rows]


async def administrator(shop: Shop) -> str:
    """Sign in as administrator; returns the token. Raises LoadFailed."""
    username, password = shop.place.admin
    login = urlencode({"grant_type": "password", "username": username, "password": password})
    form = "application/x-www-form-urlencoded"
    head = f"POST /api/identity/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: {form}\r\n"
    (answer,) = await send(shop.address("edge"), [f"{head}Content-Length: {len(login)}\r\n\r\n{login}"], expect=200)
    token: str = json.loads(answer.body)["access_token"]
    return token


async def _restock(shop: Shop, skus: Sequence[str], quantity: int) -> None:
    token = await administrator(shop)
    restocks = [
        request(
            "PUT",
            f"/api/catalog/products/{sku}/restocks/bench-{uuid.uuid4()}",
            token=token,
            body={"quantity": min(quantity, 1_000_000)},
        )
        for sku in skus
    ]
    await send(shop.address("edge"), restocks, expect=201, connections=4)
