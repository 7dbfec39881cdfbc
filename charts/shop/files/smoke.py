"""Places an order through the edge as a guest, and waits until it is CONFIRMED. It needs only Python, in any image."""

import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.request import Request, urlopen

SHOP = os.environ.get("SHOP_URL", "http://localhost:8080")
SECONDS = float(os.environ.get("SMOKE_SECONDS", "120"))


def main() -> None:
    began = time.monotonic()
    deadline = began + SECONDS
    order = retried(place, deadline)
    status = retried(lambda: settled(order), deadline)
    print(f"order {order['id']} is {status} after {time.monotonic() - began:.1f} s")
    sys.exit(status != "CONFIRMED")


def place() -> dict[str, Any]:
    """Place an order for one piece; returns it with the token of its guest."""
    token = call("POST", "/api/identity/guests")["access_token"]
    products = call("GET", "/api/catalog/products?limit=20")["items"]
    product = next((each for each in products if each["available"]), None)
    if product is None:
        raise NotYet("no product is available")
    cart = call("PUT", f"/api/cart/items/{product['sku']}", token, {"quantity": 1})
    order = {
        "cart_version": cart["version"],
        "payment_method": "tok_visa",
        "shipping_address": {"name": "Smoke", "line1": "1", "city": "Bergen", "postal_code": "5003", "country": "NO"},
        "expected_total": product["price"],
    }
    return call("POST", "/api/orders", token, order, key=str(uuid.uuid4())) | {"token": token}


def settled(order: dict[str, Any]) -> str:
    status: str = call("GET", f"/api/orders/{order['id']}", order["token"])["status"]
    if status in ("PENDING", "RESERVED"):
        raise NotYet(f"order {order['id']} is {status}")
    return status


class NotYet(Exception):
    """The shop is not ready yet; a retry may succeed."""


def retried(attempt: Callable[[], Any], deadline: float) -> Any:
    while True:
        try:
            return attempt()
        except (OSError, NotYet) as error:  # HTTP errors are OSErrors
            if time.monotonic() > deadline:
                sys.exit(f"gave up after {SECONDS:g} s: {error}")
            time.sleep(0.5)


def call(method: str, path: str, token: str = "", body: object = None, key: str = "") -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}", "Idempotency-Key": key}
    sent = {name: value for name, value in headers.items() if value and value != "Bearer "}
    data = None if body is None else json.dumps(body).encode()
    request = Request(SHOP + path, data, sent, method=method)  # noqa: S310
    with urlopen(request, timeout=10) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
        return found


main()
