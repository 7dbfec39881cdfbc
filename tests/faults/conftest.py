"""A flow of orders that goes on while parts of the shop break, and that notes every POST it makes."""

import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from shopctl.shop import Shop

collect_ignore = [] if os.environ.get("RUNTIME") == "compose" else ["test_containers.py"]

ADDRESS = {"name": "Ann Lee", "line1": "Quay 1", "city": "Bergen", "postal_code": "5003", "country": "NO"}
METHODS = ("tok_visa",) * 8 + ("tok_declined", "tok_lost_reply")
SHOPPERS = 6


@dataclass
class Flow:
    """Shoppers who order again and again; a POST without a definite answer is sent again with its key."""

    shop: Shop
    attempts: Path
    skus: list[str]
    methods: tuple[str, ...] = METHODS
    acknowledged: int = 0
    refused: dict[int, int] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def shopper(self) -> None:
        with httpx2.Client(base_url=self.shop.place.address, timeout=5) as http:
            token = self._until_answered(lambda: http.post("/api/identity/guests")).json()["access_token"]
            http.headers["Authorization"] = f"Bearer {token}"
            while not self._stop.is_set():
                self._order(http)

    def _order(self, http: httpx2.Client) -> None:
        version, total = "", 0
        for sku in random.sample(self.skus, 3):
            answer = self._until_answered(lambda sku=sku: http.put(f"/api/cart/items/{sku}", json={"quantity": 1}))
            version = answer.json()["version"]
        cart = self._until_answered(lambda: http.get("/api/cart")).json()
        version = cart["version"] or version
        total = sum(100 * item["quantity"] for item in cart["items"])
        body = {
            "cart_version": version,
            "payment_method": random.choice(self.methods),
            "shipping_address": ADDRESS,
            "expected_total": {"amount": total, "currency": "EUR"},
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
        for pause in (0.1, 0.2, 0.5, *[1.0] * 60):
            try:
                answer = call()
                if answer.status_code < 500:
                    return answer
                assert answer.status_code in (503, 504), f"{answer.request.url}: {answer.status_code} {answer.text}"
                assert answer.headers["content-type"] == "application/problem+json", answer.text
            except httpx2.TransportError:
                pass
            time.sleep(pause)
        raise AssertionError("no definite answer for a minute")


@pytest.fixture
def flow(shop: Shop, admin: Any, tmp_path: Path) -> Callable[..., AbstractContextManager[Flow]]:
    """`with flow() as orders:` runs shoppers; at its end all of them have stopped, and some orders came through."""

    @contextmanager
    def run(**options: Any) -> Iterator[Flow]:
        skus = [admin.product(stock=100_000, amount=100) for _ in range(6)] + [admin.product(stock=3, amount=100)]
        orders = Flow(shop, tmp_path / "attempts.jsonl", skus, **options)
        failures: list[BaseException] = []

        def shopper() -> None:
            try:
                orders.shopper()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=shopper) for _ in range(SHOPPERS)]
        for thread in threads:
            thread.start()
        try:
            time.sleep(1.5)
            yield orders
            time.sleep(1.5)
        finally:
            orders._stop.set()
            for thread in threads:
                thread.join()
        assert not failures, failures
        assert orders.acknowledged > 10

    return run
