"""Checks each call of the storefront against its contract: the client sends what is agreed, and reads the answer.

A new method of a client needs a contract that names it, its arguments in CALLS, and its call in
`test_storefront_shop.py`, which checks the services.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec
import pytest
from agreed import STOREFRONT, Clients, Recorded, fits, serving

import storefront.clients
from storefront.usecases.office import NewProduct
from storefront.usecases.remote import Address, Money

TOKEN = "a.b.c"
ORDER = "0198a4e0-0000-7000-8000-000000000001"
FILTERS = {"min_price": 100, "max_price": 9000, "in_stock": "true", "sort": "-price", "limit": 24}
ADDRESS = Address("Ann", "Quay 1", "Emden", "26721", "DE")
CHANGES = {"name": "Mug", "description": "", "category": "kitchen", "price": Money(600, "EUR"), "image_url": None}


class Call(NamedTuple):
    """The arguments with which a method of a client makes the call of a contract."""

    arguments: tuple[Any, ...]
    named: Mapping[str, Any]


def call(*arguments: Any, **named: Any) -> Call:
    return Call(arguments, named)


CALLS = {
    "shown-categories": call(),
    "shown-products": call(**FILTERS),
    "products-of-a-cart": call(["MUG-1"]),
    "shown-product": call("MUG-1"),
    "shown-cart": call(TOKEN),
    "put-into-the-cart": call(TOKEN, "MUG-1", 2),
    "remove-from-the-cart": call(TOKEN, "MUG-1"),
    "merge-carts": call(TOKEN, "g.u.t"),
    "place-order": call(
        TOKEN,
        "0198a4e0-0000-7000-8000-00000000000a",
        cart_version="0198a4e0-0000-7000-8000-000000000001",
        payment_method="tok_visa",
        address=ADDRESS,
        total=Money(1000, "EUR"),
    ),
    "shown-orders": call(TOKEN, "0198a4e0-0000-7000-8000-000000000009"),
    "shown-order": call(TOKEN, ORDER),
    "cancel-order": call(TOKEN, ORDER),
    "steps-of-an-order": call(TOKEN, ORDER, "1"),
    "guest": call(),
    "register": call("ann@example.org", "correct horse", "Ann", "203.0.113.7"),
    "log-in": call("ann@example.org", "correct horse"),
    "renew-tokens": call("abc"),
    "change-password": call(TOKEN, "correct horse", "battery staple"),
    "log-out": call("abc"),
    "own-account": call(TOKEN),
    "managed-products": call(TOKEN, hidden="false", below=5),
    "managed-product": call(TOKEN, "MUG-1"),
    "stock-history": call(TOKEN, "MUG-1"),
    "create-product": call(
        TOKEN, NewProduct("MUG-1", "Mug", "Holds 300 ml.", "kitchen", Money(500, "EUR"), image_url=None)
    ),
    "change-product": call(TOKEN, "MUG-1", '"1-a"', CHANGES),
    "hide-product": call(TOKEN, "MUG-1", '"1-a"'),
    "restore-product": call(TOKEN, "MUG-1"),
    "restock": call(TOKEN, "MUG-1", "0198a4e0-0000-7000-8000-00000000000b", 5),
    "managed-orders": call(TOKEN, waiting_seconds=300),
    "managed-order": call(TOKEN, ORDER),
    "refund-order": call(TOKEN, ORDER),
    "managed-payments": call(TOKEN, stuck="true"),
    "managed-payment": call(TOKEN, ORDER),
    "account-by-email": call(TOKEN, "ann@example.org"),
    "account-by-id": call(TOKEN, "0198a4e0-0000-7000-8000-000000000002"),
    "dead-letters": call(TOKEN, "cart"),
}


FOREIGN = "PrometheusClient."
"""A client of a program that is not ours: the storefront's own tests run it against the real one."""


def methods(package: ModuleType) -> set[str]:
    """Returns the public methods of all public classes of a package, as `Class.method`."""
    names = [each.name for each in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]
    return {
        f"{name}.{method}"
        for module in map(importlib.import_module, names)
        for name, each in inspect.getmembers(module, inspect.isclass)
        if each.__module__ == module.__name__ and not name.startswith("_")
        for method in vars(each)
        if not method.startswith("_")
    }


def test_every_method_of_a_client_has_a_contract() -> None:
    agreed = {each["by"] for each in STOREFRONT.values()}
    missing = {each for each in methods(storefront.clients) - agreed if not each.startswith(FOREIGN)}
    assert not missing, f"without a contract in http.yaml: {', '.join(sorted(missing))}"
    assert agreed <= methods(storefront.clients)
    assert CALLS.keys() == STOREFRONT.keys()


def answer_of(contract: Mapping[str, Any], example: Any) -> Any:
    """Returns an example as the service sends it: with members that a later version may add."""
    if contract.get("returns", {}).get("Content-Type") == "text/event-stream":
        return b"id: %d\nevent: status\ndata: %s\n\n: more\n\n" % (example["seq"], msgspec.json.encode(example))
    return {**example, "added_later": {"by": "a newer version"}} if example else b""


def sent(body: bytes, headers: Mapping[str, str]) -> Any:
    kind = headers.get("content-type")
    if kind == "application/json":
        return "body", msgspec.json.decode(body)
    return ("form", dict(parse_qsl(body.decode()))) if kind == "application/x-www-form-urlencoded" else ("body", None)


def same(found: Any, example: Any) -> bool:
    """Whether a result has the values of the example. The client may leave some out."""
    if isinstance(found, dict) and isinstance(example, dict):
        return all(same(value, example.get(name)) for name, value in found.items())
    if isinstance(found, list) and isinstance(example, list):
        return len(found) == len(example) and all(map(same, found, example))
    return found == example or not (found or example)


def whole(found: Any, example: Any) -> Any:
    """Returns a client's result in the form of the answer: some return only the items of a list, or its first item."""
    result = msgspec.to_builtins(found)
    if not isinstance(example, dict) or "items" not in example or (isinstance(result, dict) and "items" in result):
        return result
    if isinstance(found, dict):
        return {"items": list(result.values())}
    return {"items": result if isinstance(found, list) else [result] if found else []}


@pytest.mark.parametrize(
    ("name", "example"), [(name, each) for name in CALLS for each in STOREFRONT[name].get("examples", [None])]
)
async def test_the_client_sends_the_agreed_request_and_reads_the_answer(name: str, example: Any) -> None:
    contract, (arguments, named) = STOREFRONT[name], CALLS[name]
    if "examples" in contract:
        fits(name, example)
    returns = contract.get("returns", {})
    async with (
        serving(answer_of(contract, example), contract.get("status", 200), returns) as (url, asked),
        Recorded(url, name="anything", timeout=15) as http,
    ):
        found = await Clients(http).make(name, *arguments, **named)

    ((call, headers, body),) = asked
    assert call == contract["call"]
    assert {key: headers.get(key.lower()) for key in contract.get("headers", {})} == contract.get("headers", {})
    assert headers.get("authorization") == (f"Bearer {TOKEN}" if TOKEN in arguments else None)
    assert sent(body, headers) == (("form", contract["form"]) if "form" in contract else ("body", contract.get("body")))
    if found is not None:
        etag = {"version": returns["ETag"]} if "ETag" in returns else {}
        assert same(whole(found, example), example | etag)
