"""A flow of orders that goes on while parts of the shop break; it notes every POST and how every request went."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2

ADDRESS = {"name": "Ann Lee", "line1": "Quay 1", "city": "Bergen", "postal_code": "5003", "country": "NO"}
METHODS = ("tok_visa",) * 8 + ("tok_declined", "tok_lost_reply")
PAUSES = (0.2, 0.2, 0.5, *[1.0] * 90)
AMOUNT = 100
"""What one unit of each of the flow's products costs, in minor units."""


@dataclass
class Flow:
    """Shoppers who order again and again; a request without a definite answer is sent again, a POST with its key.

    `pause` is how long each of them rests after an order, in seconds. `seen` has, for each try of a request, when it
    ended (monotonic seconds), whether its answer was definite, and the how manieth try it was; `trouble` tells of those
    that were not.
    """

    url: str
    attempts: Path
    skus: Sequence[str]
    methods: Sequence[str] = METHODS
    shoppers: int = 6
    pause: float = 0.0
    acknowledged: int = 0
    refused: dict[int, int] = field(default_factory=dict)
    seen: list[tuple[float, bool, int]] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def running(self) -> Iterator["Flow"]:
        """Shoppers order inside the block; at its end all of them have stopped, and some orders came through."""
        threads = [threading.Thread(target=self._shop) for _ in range(self.shoppers)]
        for thread in threads:
            thread.start()
        try:
            time.sleep(1.5)
            yield self
            time.sleep(1.5)
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
        assert not self.failures, self.failures
        assert self.acknowledged > 10

    @property
    def retried(self) -> int:
        """Requests whose first try had no definite answer."""
        return sum(not ok and tries == 1 for _, ok, tries in self.seen)

    @property
    def failed(self) -> int:
        """Requests that a client would see fail that tries once more."""
        return sum(not ok and tries == 2 for _, ok, tries in self.seen)

    @property
    def outage(self) -> float:
        """The longest time without a definite answer to anybody, in seconds, from the first failure in it."""
        longest, since = 0.0, None
        for at, ok, _ in sorted(self.seen):
            if ok:
                longest, since = max(longest, at - since if since else 0.0), None
            else:
                since = since or at
        return longest

    def _shop(self) -> None:
        try:
            with httpx2.Client(base_url=self.url, timeout=5, trust_env=False) as http:
                token = self._until_answered(lambda: http.post("/api/identity/guests")).json()["access_token"]
                http.headers["Authorization"] = f"Bearer {token}"
                while not self._stop.is_set():
                    self._order(http)
                    time.sleep(self.pause)
        except BaseException as error:
            self.failures.append(error)

    def _order(self, http: httpx2.Client) -> None:
        for sku in random.sample(self.skus, 3):
            self._until_answered(lambda sku=sku: http.put(f"/api/cart/items/{sku}", json={"quantity": 1}))
        cart = self._until_answered(lambda: http.get("/api/cart")).json()
        body = {
            "cart_version": cart["version"],
            "payment_method": random.choice(self.methods),
            "shipping_address": ADDRESS,
            "expected_total": {"amount": sum(AMOUNT * each["quantity"] for each in cart["items"]), "currency": "EUR"},
        }
        key = str(uuid4())
        answer = self._until_answered(lambda: self._post(http, key, body))
        with self._lock:
            if answer.status_code == 202:
                self.acknowledged += 1
            else:
                self.refused[answer.status_code] = self.refused.get(answer.status_code, 0) + 1

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
        """Repeats a call that may be repeated, as a patient client does, until its answer is definite."""
        for tries, pause in enumerate(PAUSES, 1):
            answer, began = None, time.monotonic()
            try:
                answer = call()
                said = f"{answer.status_code} {answer.request.method} {answer.request.url.path}"
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
