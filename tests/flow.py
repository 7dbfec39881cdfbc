"""Shoppers who place orders while parts of the shop fail. They record every POST and the result of every request."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2

from shopctl.statuses import OPEN

ADDRESS = {"name": "Ann Lee", "line1": "Quay 1", "city": "Bergen", "postal_code": "5003", "country": "NO"}
METHODS = ("tok_visa",) * 8 + ("tok_declined", "tok_lost_reply")
PAUSES = (0.2, 0.2, 0.5, *[1.0] * 90)
WISHES = ("keep",) * 10 + ("cancel", "return")
PAID = ("CONFIRMED", "REFUNDING", "REFUNDED")
LOOKS = 3
AMOUNT = 100
"""The price of one unit of each product in the flow, in minor units."""


@dataclass
class Flow:
    """Shoppers who order repeatedly. A request without a definite answer is retried, a POST with the same key.

    Each shopper puts three of `skus` into the cart, sometimes with `scarce` among them, and orders. It then checks the
    order up to three times, `pause` seconds apart, and starts again with an empty cart. Some shoppers cancel at once,
    and some return a confirmed order. For each try of a request, `seen` holds the time when it ended (monotonic
    seconds), whether its answer was definite, and the number of the try, from 1. `trouble` describes the tries without
    a definite answer.
    """

    url: str
    attempts: Path
    skus: Sequence[str]
    scarce: str
    methods: Sequence[str] = METHODS
    shoppers: int = 6
    pause: float = 0.1
    acknowledged: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    seen: list[tuple[float, bool, int]] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    _tokens: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._methods, self._wishes = _deck(self.methods), _deck(WISHES)

    @contextmanager
    def running(self) -> Iterator["Flow"]:
        """Runs shoppers inside the block. Some orders are accepted before it, and some after it."""
        threads = [threading.Thread(target=self._shop) for _ in range(self.shoppers)]
        for thread in threads:
            thread.start()
        try:
            time.sleep(1.5)
            self._wait_for_orders(5)
            yield self
            time.sleep(1.5)
            self._wait_for_orders(10)
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
        assert not self.failures, self.failures

    @property
    def retried(self) -> int:
        """The number of requests whose first try had no definite answer."""
        return sum(not ok and tries == 1 for _, ok, tries in self.seen)

    @property
    def failed(self) -> int:
        """The number of requests that fail for a client that retries once."""
        return sum(not ok and tries == 2 for _, ok, tries in self.seen)

    @property
    def outage(self) -> float:
        """The longest period in which no request got a definite answer, in seconds from its first failure."""
        longest, since = 0.0, None
        for at, ok, _ in sorted(self.seen):
            if ok:
                longest, since = max(longest, at - since if since else 0.0), None
            else:
                since = since or at
        return longest

    def tally(self) -> str:
        """Counts the final states of the orders, once the shop is quiet. Fails if fewer than half of them were paid."""
        ends = Counter[str]()
        for token in self._tokens:
            with httpx2.Client(base_url=self.url, timeout=15, headers={"Authorization": f"Bearer {token}"}) as http:
                cursor = ""
                while cursor is not None:
                    query = {"limit": 100} | ({"cursor": cursor} if cursor else {})
                    page = self._until_answered(lambda query=query: http.get("/api/orders", params=query)).json()
                    ends.update(order["status"] for order in page["items"])
                    cursor = page["next_cursor"]
        said = ", ".join(f"{count} {status}" for status, count in ends.most_common())
        refused = "".join(f", {count} refused with {status}" for status, count in sorted(self.refused.items()))
        mix = f"{ends.total()} orders: {said}{refused}"
        assert 2 * sum(ends[status] for status in PAID) >= ends.total(), f"fewer than half were paid: {mix}"
        return mix

    def _wait_for_orders(self, count: int) -> None:
        """Returns once so many more orders were accepted, or a shopper has failed."""
        wanted, end = self.acknowledged + count, time.monotonic() + 100
        while self.acknowledged < wanted and not self.failures:
            assert time.monotonic() < end, f"{self.acknowledged} orders were accepted, not {wanted}"
            time.sleep(0.05)

    def _shop(self) -> None:
        try:
            with httpx2.Client(base_url=self.url, timeout=5, trust_env=False) as http:
                token = self._until_answered(lambda: http.post("/api/identity/guests")).json()["access_token"]
                self._tokens.append(token)
                http.headers["Authorization"] = f"Bearer {token}"
                while not self._stop.is_set():
                    id = self._order(http)
                    if id is None or self._watch(http, id) != "CONFIRMED":  # a confirmed order empties its cart itself
                        self._until_answered(lambda: http.delete("/api/cart"))
        except BaseException as error:
            self.failures.append(error)

    def _watch(self, http: httpx2.Client, id: str) -> str:
        """Watches an order, and returns its status when the shopper continues."""
        wish, status = self._draw(self._wishes), "PENDING"
        if wish == "cancel":
            self._until_answered(lambda: http.post(f"/api/orders/{id}/cancel"))
        for _ in range(LOOKS):
            time.sleep(self.pause)
            status = self._until_answered(lambda: http.get(f"/api/orders/{id}")).json()["status"]
            if status not in OPEN:
                break
        if wish == "return" and status == "CONFIRMED":
            self._until_answered(lambda: http.post(f"/api/orders/{id}/cancel"))
        return str(status)

    def _order(self, http: httpx2.Client) -> str | None:
        """Places an order, and returns its ID, or None if it was refused."""
        wanted = random.sample(self.skus, 3)
        if random.random() < 0.1:
            wanted[0] = self.scarce
        for sku in wanted:
            self._until_answered(lambda sku=sku: http.put(f"/api/cart/items/{sku}", json={"quantity": 1}))
        cart = self._until_answered(lambda: http.get("/api/cart")).json()
        body = {
            "cart_version": cart["version"],
            "payment_method": self._draw(self._methods),
            "shipping_address": ADDRESS,
            "expected_total": {"amount": sum(AMOUNT * each["quantity"] for each in cart["items"]), "currency": "EUR"},
        }
        key = str(uuid4())
        answer = self._until_answered(lambda: self._post(http, key, body))
        with self._lock:
            if answer.status_code == 202:
                self.acknowledged += 1
                return str(answer.json()["id"])
            self.refused[answer.status_code] += 1
        return None

    def _draw(self, deck: Iterator[str]) -> str:
        with self._lock:
            return next(deck)

    def _post(self, http: httpx2.Client, key: str, body: dict[str, Any]) -> httpx2.Response:
        noted: dict[str, Any] = {"key": key, "body": body, "at": time.time()}
        try:
            answer = http.post("/api/orders", json=body, headers={"Idempotency-Key": key})
            noted["status"] = answer.status_code
            if answer.status_code == 202:
                noted["order_id"] = answer.json()["id"]
            return answer
        finally:
            with self._lock, self.attempts.open("a") as file:
                file.write(json.dumps(noted) + "\n")

    def _until_answered(self, call: Callable[[], httpx2.Response]) -> httpx2.Response:
        """Repeats an idempotent call, as a patient client does, until its answer is definite."""
        for tries, pause in enumerate(PAUSES, 1):
            answer, began = None, time.monotonic()
            try:
                answer = call()
                said = f"{answer.status_code} {answer.request.method} {answer.request.url.path}"
                if answer.status_code >= 500:
                    said += f": {answer.text}"
            except httpx2.TransportError as error:
                said = repr(error)
            ok = answer is not None and answer.status_code < 500
            now = time.monotonic()
            with self._lock:
                self.seen.append((now, ok, tries))
                if not ok:
                    self.trouble.append(f"{datetime.now():%T.%f} try {tries}, after {now - began:.2f} s: {said}")
            if answer is not None:
                if ok:
                    return answer
                assert answer.status_code in (503, 504), f"{answer.request.url}: {answer.status_code} {answer.text}"
                assert answer.headers["content-type"] == "application/problem+json", answer.text
            time.sleep(pause)
        raise AssertionError("no definite answer for a minute and a half")


def _deck(cards: Sequence[str]) -> Iterator[str]:
    """Each card once in random order, then again: few orders have the same mix as many."""
    while True:
        yield from random.sample(cards, len(cards))
