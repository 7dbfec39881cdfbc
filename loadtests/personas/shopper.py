"""What all personas share: requests with an outcome, patience, think times, and a cart."""

import os
import random
import time
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID

import gevent
import msgspec
from journal import Journal
from locust import FastHttpUser
from locust.contrib.fasthttp import FastResponse

__all__ = ["ADDRESS", "Answer", "Shopper"]

ADDRESS = {"name": "Ann Lee", "line1": "Quay 1", "city": "Bergen", "postal_code": "5003", "country": "NO"}
PATIENCE = 3
"""How often a shopper repeats a request that the shop could not serve now."""
LONGEST_WAIT = 10.0
"""Seconds that a shopper waits at most before the next try, whatever Retry-After says."""
THINKING = 2.0
"""Seconds: the median of the time between two steps."""
SETTLED_WITHIN = 60.0
"""Seconds that a shopper watches an order."""
OPEN = ("PENDING", "RESERVED", "CANCELLING", "EXPIRING", "REFUNDING")
REFUSALS = (409, 422, 429)

_numbers = count()


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the shop, after `ms` milliseconds. `status` is 0 without one. `slug` names the problem, if any."""

    status: int
    data: Any
    slug: str
    etag: str | None
    retry_after: float | None
    ms: float

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 400

    @property
    def refused(self) -> bool:
        """Whether the shop clearly said no, or to come again later."""
        return bool(self.slug) and (self.status in REFUSALS or (self.status == 503 and self.retry_after is not None))

    @property
    def later(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in (0, 429, 503, 504)


class Shopper(FastHttpUser):
    """A guest of the shop. A subclass has one task, `visit`. SEED determines all choices, through `self.random`."""

    abstract = True
    network_timeout = 10.0
    connection_timeout = 5.0
    journal = Journal(None, "")

    def __init__(self, environment: Any, number: int | None = None) -> None:
        super().__init__(environment)
        number = next(_numbers) if number is None else number
        self.random = random.Random(f"{os.environ.get('SEED') or 1}:{type(self).__name__}:{number}")  # noqa: S311
        self.token = ""

    def wait_time(self) -> float:
        """Seconds between two visits."""
        return self.random.lognormvariate(0, 0.6) * THINKING

    def think(self) -> None:
        """Waits as long as a person who reads: log-normal, with a median of THINKING."""
        gevent.sleep(min(self.random.lognormvariate(0, 0.6) * THINKING, 10 * THINKING))

    def call(
        self,
        step: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        expected: tuple[int, ...] = (),
        patience: int = PATIENCE,
    ) -> Answer:
        """Sends a request, and repeats it as long as the shop says "later", at most `patience` times.

        A POST must carry an Idempotency-Key, or its repetition must do no harm.
        """
        for tries in range(patience + 1):
            answer = self._send(step, method, path, body, headers or {}, expected)
            if not answer.later or tries == patience:
                break
            wait = min(answer.retry_after or 0.5 * 2**tries, LONGEST_WAIT)
            gevent.sleep(wait * self.random.uniform(1.0, 1.5))
        return answer

    def _send(
        self, step: str, method: str, path: str, body: Any, headers: dict[str, str], expected: tuple[int, ...]
    ) -> Answer:
        if self.token:
            headers = {"Authorization": f"Bearer {self.token}", **headers}
        began = time.perf_counter()
        with self.client.request(
            method, path, name=step, json=body, headers=headers, catch_response=True, allow_redirects=False
        ) as response:
            answer = _read(response, (time.perf_counter() - began) * 1000)
            if answer.ok or answer.status in expected:
                response.success()
            elif answer.refused:
                # Locust counts refusals apart, for all workers: their times are not those of answers.
                response.request_meta |= {"request_type": "refused", "name": f"{step}: {answer.slug}"}
                response.success()
            else:
                response.failure(f"{answer.status or 'no answer'} {answer.slug}".strip())
        return answer

    def enter(self) -> None:
        """Gets a guest's token, if there is none."""
        if not self.token:
            answer = self.call("guest", "POST", "/api/identity/guests")
            self.token = answer.data["access_token"] if answer.ok else ""

    def products(self, **query: Any) -> list[dict[str, Any]]:
        """Reads a page of the catalog. It is the same for everyone, so it carries no token."""
        token, self.token = self.token, ""
        try:
            text = "&".join(f"{name}={value}" for name, value in query.items())
            answer = self.call("search" if "q" in query else "browse", "GET", f"/api/catalog/products?{text}")
        finally:
            self.token = token
        return answer.data["items"] if answer.ok else []

    def put(self, sku: str, quantity: int = 1) -> Answer:
        return self.call("cart", "PUT", f"/api/cart/items/{sku}", {"quantity": quantity})

    def order(self, cart_version: str, total: int, currency: str = "EUR", method: str = "tok_visa") -> Answer:
        """Orders the cart with a new key; each try has a line in the journal."""
        key = str(UUID(int=self.random.getrandbits(128), version=4))
        body = {
            "cart_version": cart_version,
            "payment_method": method,
            "shipping_address": ADDRESS,
            "expected_total": {"amount": total, "currency": currency},
        }
        for tries in range(PATIENCE + 1):
            attempt = self.journal.sends(key, body)
            answer = self.call("order", "POST", "/api/orders", body, headers={"Idempotency-Key": key}, patience=0)
            self.journal.answered(attempt, answer.status, answer.data["id"] if answer.status == 202 else None)
            if not answer.later or tries == PATIENCE:
                break
            wait = min(answer.retry_after or 0.5 * 2**tries, LONGEST_WAIT)
            gevent.sleep(wait * self.random.uniform(1.0, 1.5))
        return answer

    def watch(self, accepted: Answer) -> str:
        """Looks at an order until it is settled; returns its status. The journey lasts as long as its history says."""
        id, pause, end = accepted.data["id"], 0.3, time.monotonic() + SETTLED_WITHIN
        while time.monotonic() < end:
            gevent.sleep(pause)
            pause = min(pause * 1.5, 3.0)
            answer = self.call("order status", "GET", f"/api/orders/{id}")
            if answer.ok and answer.data["status"] not in OPEN:
                self._arrived(answer.data, accepted.ms)
                return str(answer.data["status"])
        self._journey(SETTLED_WITHIN * 1000, "not settled in time")
        return "PENDING"

    def _arrived(self, order: dict[str, Any], posted: float) -> None:
        if order["status"] == "CONFIRMED":
            first, last = (_seconds(order["history"][which]["at"]) for which in (0, -1))
            self._journey(posted + (last - first) * 1000)

    def _journey(self, ms: float, failure: str | None = None) -> None:
        self.environment.events.request.fire(
            request_type="journey",
            name="order to CONFIRMED",
            response_time=ms,
            response_length=0,
            exception=failure,
            context={},
        )


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _read(response: FastResponse, ms: float) -> Answer:
    headers = response.headers or {}
    kind, retry = headers.get("content-type") or "", headers.get("retry-after") or ""
    data: Any = None
    if "json" in kind:
        try:
            data = msgspec.json.decode(response.content)
        except msgspec.DecodeError:
            data = None
    slug = str(data.get("type", "")).rpartition("/")[2] if "problem+json" in kind and isinstance(data, dict) else ""
    wait = float(retry) if retry.isdigit() else None
    return Answer(response.status_code or 0, data, slug, headers.get("etag"), wait, ms)
