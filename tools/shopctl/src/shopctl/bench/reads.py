"""Measures the cost of reading the catalog and changing a cart, in the service and its store."""

import json

from shopctl.bench.client import request, send
from shopctl.bench.figures import Figure, percentile
from shopctl.bench.usage import measured
from shopctl.shop import Shop

__all__ = ["cart", "catalog"]

CONNECTIONS = 8


async def catalog(shop: Shop, seconds: float) -> list[Figure]:
    page = request("GET", "/api/catalog/products?limit=20")
    (answer,) = await send(shop.address("catalog"), [page], expect=200)
    skus = [item["sku"] for item in json.loads(answer.body)["items"]]
    products = [request("GET", f"/api/catalog/products/{sku}") for sku in skus]
    return [
        *await _measure(shop, "catalog", "list of 20", [page], seconds, ("catalog", "postgres"), "≤ 0.5"),
        *await _measure(shop, "catalog", "one product", products, seconds, ("catalog", "postgres"), "≤ 0.3"),
    ]


async def cart(shop: Shop, seconds: float) -> list[Figure]:
    products = request("GET", "/api/catalog/products?limit=3")
    (answer,) = await send(shop.address("edge"), [products], expect=200)
    skus = [item["sku"] for item in json.loads(answer.body)["items"]]
    (answer,) = await send(shop.address("edge"), [request("POST", "/api/identity/guests")], expect=201)
    token = json.loads(answer.body)["access_token"]
    puts = [
        request("PUT", f"/api/cart/items/{sku}", token=token, body={"quantity": n}) for n, sku in enumerate(skus, 1)
    ]
    get = request("GET", "/api/cart", token=token)
    return [
        *await _measure(shop, "cart", "put an item", puts, seconds, ("cart", "valkey"), "≤ 0.4"),
        *await _measure(shop, "cart", "get", [get], seconds, ("cart", "valkey"), "≤ 0.3"),
    ]


async def _measure(
    shop: Shop, section: str, name: str, requests: list[str], seconds: float, processes: tuple[str, str], aim: str
) -> list[Figure]:
    """Send requests repeatedly to the service, the first of `processes`, and measure both processes."""
    address = shop.address(processes[0])
    with measured(shop) as usage:
        answers = await send(address, requests, expect=200, connections=CONNECTIONS, seconds=seconds, keep_bodies=False)
    count = len(answers)
    return [
        Figure(section, f"{name}: CPU", 1000 * usage.of(*processes) / count, "ms per request", aim),
        Figure(section, f"{name}: of it {processes[1]}", 1000 * usage.of(processes[1]) / count, "ms per request"),
        Figure(section, f"{name}: requests per second", count / seconds, "/s"),
        Figure(section, f"{name}: p95", 1000 * percentile([answer.took for answer in answers], 0.95), "ms"),
    ]
