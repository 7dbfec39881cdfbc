"""Clients that use a shop like any other client: over HTTP, through the edge."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2
from flow import ADDRESS

from shopctl.chaos import catalog
from shopctl.chaos.injection import injected
from shopctl.place import Place
from shopctl.shop import Shop
from shopctl.statuses import UNDONE

FINAL = {"CONFIRMED", *UNDONE}
KEYS: set[str] = set()
"""The idempotency keys that shoppers have used."""


class Shopper:
    """A guest with a token. Amounts are in minor units. Each order gets a new idempotency key unless one is given."""

    def __init__(self, place: Place, *, token: str | None = None) -> None:
        self.http = httpx2.Client(base_url=place.address, timeout=15, trust_env=False)
        token = token or self.http.post("/api/identity/guests").raise_for_status().json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {token}"
        self.total = 0
        self.version = ""

    def put(self, sku: str, quantity: int = 1) -> None:
        """Puts a product into the cart, and records the version and the total of the cart."""
        answer = self.http.put(f"/api/cart/items/{sku}", json={"quantity": quantity})
        cart = answer.raise_for_status().json()
        self.version = cart["version"]
        skus = [("sku", item["sku"]) for item in cart["items"]]
        found = self.http.get("/api/catalog/products", params=skus).raise_for_status().json()["items"]
        prices = {product["sku"]: product["price"]["amount"] for product in found}
        self.total = sum(prices.get(item["sku"], 0) * item["quantity"] for item in cart["items"])

    def body(self, method: str = "tok_visa", **changes: Any) -> dict[str, Any]:
        """Returns the body of the POST that orders the cart."""
        return {
            "cart_version": self.version,
            "payment_method": method,
            "shipping_address": ADDRESS,
            "expected_total": {"amount": self.total, "currency": "EUR"},
            **changes,
        }

    def order(self, method: str = "tok_visa", key: str | None = None, **changes: Any) -> httpx2.Response:
        headers = {"Idempotency-Key": key or str(uuid4())}
        if not key:
            KEYS.add(headers["Idempotency-Key"])
        return self.http.post("/api/orders", json=self.body(method, **changes), headers=headers)

    def has_empty_cart(self, seconds: float = 40) -> bool:
        """Whether the cart becomes empty in time; a message empties it after the order is confirmed."""
        return any(self.http.get("/api/cart").raise_for_status().json()["items"] == [] for _ in until(seconds))

    def buy(self, sku: str, quantity: int = 1, method: str = "tok_visa") -> str:
        """Orders a product, and returns the order ID."""
        self.put(sku, quantity)
        return str(self.order(method).raise_for_status().json()["id"])

    def status(self, id: str) -> str:
        return str(self.http.get(f"/api/orders/{id}").raise_for_status().json()["status"])

    def waits_for(self, id: str, *statuses: str, seconds: float = 40) -> str:
        """Waits until the order has one of these statuses (by default a final one), and returns it."""
        wanted = set(statuses) or FINAL
        status = ""
        for _ in until(seconds):
            status = self.status(id)
            if status in wanted:
                return status
        raise AssertionError(f"order {id} is still {status}, not {' or '.join(sorted(wanted))}, after {seconds} s")


def scramble(place: Place, sku: str, count: int) -> list[tuple[Shopper, httpx2.Response]]:
    """Lets guests order a unit of a product at the same moment. Returns each with the answer to their order."""
    shoppers = [Shopper(place) for _ in range(count)]
    for shopper in shoppers:
        shopper.put(sku)
    with ThreadPoolExecutor(count) as pool:
        return list(zip(shoppers, pool.map(Shopper.order, shoppers), strict=True))


def race(shop: Shop, sku: str) -> list[tuple[Shopper, str]]:
    """Lets two guests order the last unit of a product, both before one is reserved. Returns each with the order ID."""
    shoppers = [Shopper(shop.place) for _ in range(2)]
    with injected(shop, catalog.find("freeze"), "rabbitmq"):
        return [(shopper, shopper.buy(sku)) for shopper in shoppers]


class Admin(Shopper):
    """An administrator of the shop."""

    def __init__(self, place: Place) -> None:
        super().__init__(place, token=token_of_administrator(place))
        self._place, self._since = place, time.monotonic()
        self.http.event_hooks["request"] = [self._renew]

    def _renew(self, request: httpx2.Request) -> None:
        """Takes a new token before the old one expires, after 15 minutes: a session of tests may last longer."""
        if time.monotonic() - self._since > 600:
            self._since = time.monotonic()
            token = token_of_administrator(self._place)
            self.http.headers["Authorization"] = request.headers["Authorization"] = f"Bearer {token}"

    def product(self, stock: int, amount: int = 500) -> str:
        """Creates a product for one test, and returns its SKU."""
        sku = f"TEST-{uuid4().hex[:12].upper()}"
        body = {
            "sku": sku,
            "name": f"Test product {sku}",
            "description": "Made for one test.",
            "category": "tests",
            "price": {"amount": amount, "currency": "EUR"},
        }
        self.http.post("/api/catalog/products", json=body).raise_for_status()
        if stock:
            url = f"/api/catalog/products/{sku}/restocks/{uuid4()}"
            self.http.put(url, json={"quantity": stock}).raise_for_status()
        return sku

    def available(self, sku: str) -> int:
        return int(self.http.get(f"/api/catalog/products/{sku}").raise_for_status().json()["available"])

    def sees(self, sku: str, available: int, seconds: float = 40) -> bool:
        """Whether this much stock becomes available in time; a message updates the stock after the order changes."""
        return any(self.available(sku) == available for _ in until(seconds))

    def set_price(self, sku: str, amount: int) -> None:
        path = f"/api/catalog/products/{sku}"
        etag = self.http.get(path).headers["ETag"]
        body = {"price": {"amount": amount, "currency": "EUR"}}
        self.http.patch(path, json=body, headers={"If-Match": etag}).raise_for_status()


def token_of_administrator(place: Place) -> str:
    username, password = place.admin
    form = {"grant_type": "password", "username": username, "password": password}
    answer = httpx2.post(f"{place.address}/api/identity/token", data=form, timeout=15, trust_env=False)
    return str(answer.raise_for_status().json()["access_token"])


def until(seconds: float, pause: float = 0.05) -> Iterator[float]:
    """Yields the time at intervals until `seconds` have passed, and then once more: this process may have paused."""
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        yield now
        time.sleep(pause)
    yield now


def eventually(holds: Callable[[], object], seconds: float = 40) -> bool:
    """Whether a condition becomes true in time. It is checked about three times a second."""
    return any(holds() for _ in until(seconds, pause=0.3))
