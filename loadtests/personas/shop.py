"""The shop as a visitor uses it, by its API. `pages` is the same with its pages, and `arrive` chooses."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol
from uuid import uuid4

import gevent
import msgspec

from personas.answer import Answer
from personas.shopper import Shopper

__all__ = ["ADDRESS", "OPEN", "SETTLED_WITHIN", "Api", "Shop", "arrived", "watched"]

ADDRESS = {"name": "Ann Lee", "line1": "Quay 1", "city": "Bergen", "postal_code": "5003", "country": "NO"}
SETTLED_WITHIN = 60.0
"""Seconds that a shopper watches an order."""
OPEN = ("PENDING", "RESERVED", "CANCELLING", "EXPIRING", "REFUNDING")
REMEMBERED = 8
"""The number of answers that a visitor's cache keeps."""


class Price(msgspec.Struct, gc=False):
    amount: int


class Product(msgspec.Struct, gc=False):
    sku: str
    price: Price
    available: int


class Products(msgspec.Struct, gc=False):
    items: list[Product]


class Shop(Protocol):
    """One visit of one person. Lists hold SKUs; they are empty if the shop does not answer."""

    def home(self) -> list[str]: ...

    def category(self) -> list[str]: ...

    def search(self, words: str) -> list[str]: ...

    def product(self, sku: str) -> int | None:
        """Returns how many are available, or None if that is not known."""

    def put(self, sku: str, quantity: int = 1) -> Answer: ...

    def look_at_cart(self) -> None: ...

    def order(self, card: str = "tok_visa") -> Answer:
        """Orders the cart at the total that was shown last. The answer's status is 202 if an order was placed."""

    def watch(self, order: Answer) -> str:
        """Looks at an order until it is settled, and returns its status."""


class Api:
    """A visit that uses the API.

    `token` belongs to an account; without it, the visitor becomes a guest. `prices` are those that were shown, by SKU.
    """

    def __init__(self, person: Shopper, token: str = "") -> None:
        self.person = person
        self.token = token
        self._known: dict[str, tuple[str, Any]] = {}
        self.prices: dict[str, int] = {}
        self._cart: dict[str, Any] = {}
        self._quote: int | None = None

    def home(self) -> list[str]:
        self._read("browse", "/api/catalog/categories")
        return self._list("browse", "sort=newest&in_stock=true&limit=12")

    def category(self) -> list[str]:
        found = self._read("browse", "/api/catalog/categories")
        if not found or not found["items"]:
            return []
        (category,) = self.person.pick(found["items"])
        return self._list("browse", f"category={category['slug']}&in_stock=true&limit=24")

    def search(self, words: str) -> list[str]:
        return self._list("search", f"q={words}&in_stock=true&limit=24")

    def product(self, sku: str) -> int | None:
        found = self._read("product", f"/api/catalog/products/{sku}", Product)
        if found is None:
            return None
        self.prices[sku] = found.price.amount
        return int(found.available)

    def put(self, sku: str, quantity: int = 1) -> Answer:
        answer = self.call("cart", "PUT", f"/api/cart/items/{sku}", {"quantity": quantity})
        self._keep(answer)
        return answer

    def look_at_cart(self) -> None:
        self._keep(self.call("cart", "GET", "/api/cart"))

    def order(self, card: str = "tok_visa") -> Answer:
        if not self._cart.get("items"):
            self.look_at_cart()
        body = self.body(card)
        answer = self.post(str(uuid4()), body)
        if answer.slug == "price-changed":
            self._quote = answer.data["quote"]["amount"]
        elif answer.slug == "cart-changed":
            self._cart = {}
        return answer

    def body(self, card: str = "tok_visa", **changes: Any) -> dict[str, Any]:
        """Returns the body of the POST that orders the cart."""
        total = self._total() if self._quote is None else self._quote
        return {
            "cart_version": self._cart.get("version") or str(uuid4()),
            "payment_method": card,
            "shipping_address": ADDRESS,
            "expected_total": {"amount": total, "currency": "EUR"},
            **changes,
        }

    def post(self, key: str, body: dict[str, Any], step: str = "order", **more: Any) -> Answer:
        """Orders with a key, and repeats it only with this key. Each try has its lines in the journal."""
        content = msgspec.json.encode(body).decode()
        headers = {**self._headers(), "Idempotency-Key": key, "Content-Type": "application/json"}

        def once() -> Answer:
            attempt = self.person.journal.sends(key, body)
            answer = self.person.send(step, "POST", "/api/orders", content=content, headers=headers, **more)
            self.person.journal.answered(attempt, answer.status, answer.data["id"] if answer.status == 202 else None)
            return answer

        return self.person.patiently(once)

    def watch(self, order: Answer) -> str:
        with watched(self.person, order):
            found = self.settled(order.data["id"])
        arrived(self.person, order, found["history"] if found else ())
        return str(found["status"]) if found else "PENDING"

    def settled(self, id: str) -> dict[str, Any] | None:
        """Looks at an order until it is settled. Returns None if that takes longer than SETTLED_WITHIN."""
        pause, end = 0.3, time.monotonic() + SETTLED_WITHIN
        while time.monotonic() < end:
            gevent.sleep(pause)
            pause = min(1.5 * pause, 3.0)
            answer = self.call("order status", "GET", f"/api/orders/{id}")
            if answer.ok and answer.data["status"] not in OPEN:
                return dict(answer.data)
        return None

    def call(self, step: str, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """Sends a request with this visitor's token."""
        headers = {**self._headers(), **more.pop("headers", {})}
        content = None
        if body is not None:
            headers["Content-Type"], content = "application/json", msgspec.json.encode(body).decode()
        return self.person.call(step, method, path, content=content, headers=headers, **more)

    def _headers(self) -> dict[str, str]:
        if not self.token:
            answer = self.person.call("guest", "POST", "/api/identity/guests")
            self.token = answer.data["access_token"] if answer.ok else ""
        return {"Authorization": f"Bearer {self.token}"}

    def _list(self, step: str, query: str) -> list[str]:
        found = self._read(step, f"/api/catalog/products?{query}", Products)
        for each in found.items if found else ():
            self.prices[each.sku] = each.price.amount
        return [each.sku for each in found.items] if found else []

    def _read(self, step: str, path: str, into: Any = Any) -> Any:
        """Reads something that is the same for everyone, without a token; again only if it has changed."""
        etag, data = self._known.get(path) or ("", None)
        answer = self.person.call(step, "GET", path, headers={"If-None-Match": etag} if etag else None, into=into)
        if answer.status == 200:
            data = answer.data
            if answer.etag:
                if len(self._known) == REMEMBERED:
                    del self._known[next(iter(self._known))]
                self._known[path] = (answer.etag, data)
        return data if answer.ok else None

    def _keep(self, answer: Answer) -> None:
        if answer.ok:
            self._cart, self._quote = answer.data, None

    def _total(self) -> int:
        lines = self._cart.get("items", ())
        if unseen := [line["sku"] for line in lines if line["sku"] not in self.prices]:
            self._list("browse", "&".join(f"sku={sku}" for sku in unseen))
        return sum(self.prices.get(line["sku"], 0) * line["quantity"] for line in lines)


@contextmanager
def watched(person: Shopper, order: Answer) -> Iterator[None]:
    """Counts the order as not settled if the visit is ended inside the block."""
    began = time.monotonic()
    try:
        yield
    except gevent.GreenletExit:
        person.journey(order.ms + (time.monotonic() - began) * 1000, settled=False)
        raise


def arrived(person: Shopper, order: Answer, history: Sequence[dict[str, Any]]) -> None:
    """Counts the journey of an order. It lasted as long as its POST, and then as long as its history says."""
    if not history or history[-1]["status"] in OPEN:
        person.journey(SETTLED_WITHIN * 1000, failed="not settled in time")
        return
    first, last = (datetime.fromisoformat(step["at"]) for step in (history[0], history[-1]))
    status = str(history[-1]["status"])
    refused = "" if status == "CONFIRMED" else status.lower().replace("_", "-")
    person.journey(order.ms + (last - first).total_seconds() * 1000, refused=refused)
