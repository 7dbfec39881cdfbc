"""What a read of the catalogue and a change of a cart cost, at the service itself, its store included."""

import json

from shopctl.bench.client import request, send
from shopctl.bench.figures import Figure, percentile
from shopctl.bench.usage import measured
from shopctl.shop import Shop

__all__ = ["cart", "catalogue"]

CONNECTIONS = 8


async def catalogue(shop: Shop, seconds: float) -> list[Figure]:
    page = request("GET", "/api/catalog/products?limit=20")
    (answer,) = await send(shop.address("catalog"), [page], expect=200)
    skus = [item["sku"] for item in json.loads(answer.body)["items"]]
    products = [request("GET", f"/api/catalog/products/{sku}") for sku in skus]
    return [
        *await _measure(shop, "catalogue", "list of 20", [page], seconds, ("catalog", "postgres"), "≤ 0.5"),
        *await _measure(shop, "catalogue", "one product", products, seconds, ("catalog", "postgres"), "≤ 0.3"),
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
    """Of the service, the first of `processes`, over and over."""
    address = shop.address(processes[0])
    with measured(shop) as usage:
        answers = await send(address, requests, expect=200, connections=CONNECTIONS, seconds=seconds, keep_bodies=False)
    count = len(answers)
    return [
        Figure(section, f"{name}: CPU", 1000 * usage.of(*processes) / count, "ms a request", aim),
        Figure(section, f"{name}: of it {processes[1]}", 1000 * usage.of(processes[1]) / count, "ms a request"),
        Figure(section, f"{name}: requests a second", count / seconds, "/s"),
        Figure(section, f"{name}: p95", 1000 * percentile([answer.took for answer in answers], 0.95), "ms"),
    ]
