"""Checks each call between services against its contract: the client accepts it, and the server fulfills it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema_rs
import msgspec
import pytest
import yaml
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey
from pydantic import SecretStr, TypeAdapter

import cart.clients
import cart.models
import catalog.schemas
import storefront.clients
from chassis.auth import TokenVerifier
from chassis.http import HttpClient
from order.clients import CartClient, CatalogClient
from payment.clients.sandbox import SandboxProvider
from payment.models import Outcome, Payment, State
from psp.clients import HttpWebhookSender, signature
from psp.models import Entry, Kind, Status
from shopctl import services
from storefront.usecases.office import DEAD_LETTERS, Office

CONTRACTS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "http.yaml").read_text())
NOW = datetime(2026, 11, 1, tzinfo=UTC)
ORDER_ID = UUID("0198a4e0-0000-7000-8000-000000000001")
SECRET = "a-secret-of-the-tests"
CHARGE = Payment(ORDER_ID, State.REQUESTED, amount=500, currency="EUR", payment_method="tok_visa", as_of=NOW)
FILTERS: dict[str, Any] = {
    "min_price": 100,
    "max_price": 9000,
    "in_stock": "true",
    "sort": "-price",
    "limit": 24,
}
REFUND = Payment(ORDER_ID, State.REFUNDING, amount=500, currency="EUR", payment_method="tok_visa", as_of=NOW)


@asynccontextmanager
async def serving(answer: Any) -> AsyncIterator[tuple[str, list[tuple[str, dict[str, str], bytes]]]]:
    """Runs a server that gives the same answer to every request. Yields its URL and the list of requests."""
    asked = []

    async def handle(request: web.Request) -> web.Response:
        call = f"{request.method} {request.path_qs}"
        asked.append((call, {name.lower(): value for name, value in request.headers.items()}, await request.read()))
        return web.json_response(answer)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


def fits(name: str, value: Any) -> None:
    jsonschema_rs.validate(CONTRACTS[name]["schema"], value)


# --- callers -------------------------------------------------------------------------------------


async def reads_cart(url: str, example: Any) -> None:
    async with HttpClient(url, name="cart") as http:
        found = await CartClient(http).read("a.b.c")
    assert found.version == example["version"]
    assert list(found.items) == [(item["sku"], item["quantity"]) for item in example["items"]]


async def finds_products(url: str, example: Any) -> None:
    async with HttpClient(url, name="catalog") as http:
        found = await CatalogClient(http).find(["MUG-1"])
    assert {sku: product.name for sku, product in found.items()} == {p["sku"]: p["name"] for p in example["items"]}


async def knows_a_product(url: str, example: Any) -> None:
    async with HttpClient(url, name="catalog") as http:
        assert await cart.clients.CatalogClient(http).has(example["sku"])


def provider_at(url: str) -> SandboxProvider:
    return SandboxProvider(url, SecretStr(SECRET), timeout=5, connections=1)


async def charges(url: str, example: Any) -> None:
    async with provider_at(url) as provider:
        answer = await provider.charge(CHARGE)
    expected = Outcome.SUCCEEDED if example["status"] == "succeeded" else Outcome.REFUSED
    assert (answer.outcome, answer.reason, answer.reference) == (expected, example.get("reason"), example["id"])


async def refunds(url: str, example: Any) -> None:
    async with provider_at(url) as provider:
        assert (await provider.refund(REFUND)).outcome is Outcome.SUCCEEDED


async def looks_up_charges(url: str, example: Any) -> None:
    async with provider_at(url) as provider:
        charge, refund = await provider.find(CHARGE), await provider.find(REFUND)
    (found,) = example["items"]
    assert (charge.outcome, charge.reference) == (Outcome.SUCCEEDED, found["id"])
    assert (refund.outcome is Outcome.SUCCEEDED) == (found["refunded"] >= 500)


async def fetches_keys(url: str, example: Any) -> None:
    """A token is refused if its key is not in the document, which proves that the document was read."""
    stranger = ECKey.generate_key("P-256")
    token = jwt.encode({"alg": "ES256", "kid": "a"}, {"sub": "x"}, stranger)
    async with TokenVerifier(f"{url}/.well-known/jwks.json", issuer="quayside", audience="quayside") as verifier:
        with pytest.raises(Exception, match="invalid-token"):
            await verifier.verify(token)


async def shows_products(url: str, example: Any) -> None:
    async with HttpClient(url, name="catalog") as http:
        found = await storefront.clients.CatalogClient(http).products(**FILTERS)
    assert msgspec.to_builtins(found.items) == [{**product, "version": None} for product in example["items"]]
    assert found.next_cursor == example["next_cursor"]


async def shows_a_cart(url: str, example: Any) -> None:
    async with HttpClient(url, name="cart") as http:
        assert msgspec.to_builtins(await storefront.clients.CartClient(http).get("a.b.c")) == example


async def shows_an_order(url: str, example: Any) -> None:
    async with HttpClient(url, name="order") as http:
        found = await storefront.clients.OrderClient(http, http).get("a.b.c", example["id"])
    assert (found.id, found.status, found.total.amount) == (example["id"], "CONFIRMED", 500)
    assert [step.status for step in found.history] == [step["status"] for step in example["history"]]
    assert found.shipping_address.city == example["shipping_address"]["city"]


async def becomes_a_guest(url: str, example: Any) -> None:
    async with HttpClient(url, name="identity") as http:
        found = await storefront.clients.IdentityClient(http).guest()
    assert (found.access_token, found.expires_in) == (example["access_token"], example["expires_in"])


@asynccontextmanager
async def office_at(url: str) -> AsyncIterator[Office]:
    async with HttpClient(url, name="anything") as http:
        yield storefront.clients.office(catalog=http, cart=http, order=http, payment=http, identity=http)


async def lists_managed_products(url: str, example: Any) -> None:
    async with office_at(url) as office:
        found = await office.catalog.list("a.b.c", hidden="false", below=5)
    assert msgspec.to_builtins(found.items) == [{**product, "version": None} for product in example["items"]]
    assert found.next_cursor == example["next_cursor"]


async def reads_the_history_of_a_stock(url: str, example: Any) -> None:
    async with office_at(url) as office:
        found = await office.catalog.history("a.b.c", "MUG-1")
    assert msgspec.to_builtins(found) == example["items"]


async def lists_orders_that_wait(url: str, example: Any) -> None:
    async with office_at(url) as office:
        found = await office.orders.list("a.b.c", waiting_seconds=300)
    assert [(each.id, each.principal) for each in found.items] == [(o["id"], o["principal"]) for o in example["items"]]


async def lists_stuck_payments(url: str, example: Any) -> None:
    async with office_at(url) as office:
        found = await office.payments.list("a.b.c", stuck="true")
    assert msgspec.to_builtins(found.items) == example["items"]


async def reads_a_payment(url: str, example: Any) -> None:
    async with office_at(url) as office:
        assert msgspec.to_builtins(await office.payments.get("a.b.c", example["order_id"])) == example


async def finds_an_account(url: str, example: Any) -> None:
    async with office_at(url) as office:
        found = await office.accounts.by_email("a.b.c", "ann@example.org")
    assert (found and found.name) == (example["items"][0]["name"] if example["items"] else None)


async def counts_dead_letters(url: str, example: Any) -> None:
    async with office_at(url) as office:
        assert msgspec.to_builtins(await office.messages.dead_letters("a.b.c", "cart")) == example


CALLERS: dict[str, Callable[[str, Any], Awaitable[None]]] = {
    "cart": reads_cart,
    "products": finds_products,
    "product": knows_a_product,
    "charge": charges,
    "refund": refunds,
    "charges": looks_up_charges,
    "keys": fetches_keys,
    "shown-products": shows_products,
    "shown-cart": shows_a_cart,
    "shown-order": shows_an_order,
    "guest": becomes_a_guest,
    "managed-products": lists_managed_products,
    "stock-history": reads_the_history_of_a_stock,
    "managed-orders": lists_orders_that_wait,
    "managed-payments": lists_stuck_payments,
    "managed-payment": reads_a_payment,
    "accounts": finds_an_account,
    "dead-letters": counts_dead_letters,
}
EXAMPLES = [(name, example) for name in CALLERS for example in CONTRACTS[name]["examples"]]


def test_every_call_has_a_contract() -> None:
    assert {*CALLERS, "webhook"} == set(CONTRACTS)


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
async def test_the_client_sends_the_agreed_request_and_accepts_valid_answers(name: str, example: Any) -> None:
    fits(name, example)
    async with serving({**example, "added_later": {"by": "a newer version"}}) as (url, asked):
        await CALLERS[name](url, example)
    assert asked[0][0] == CONTRACTS[name]["call"]


@pytest.mark.parametrize("example", CONTRACTS["webhook"]["examples"])
def test_a_signed_webhook_is_accepted(example: Any) -> None:
    fits("webhook", example)
    body = json.dumps({**example, "added_later": True}).encode()
    headers = {"psp-signature": signature(SECRET, body, int(NOW.timestamp()))}
    assert provider_at("http://psp.example").hinted(headers, body).order_id == UUID(example["order_id"])


# --- servers -------------------------------------------------------------------------------------


async def test_the_sandbox_providers_webhook_fits_the_contract_and_is_accepted() -> None:
    now = datetime.now(UTC)
    entry = Entry("ch_1", Kind.CHARGE, "k", b"", "ch_1", str(ORDER_ID), 500, "EUR", Status.SUCCEEDED, None, now)
    async with serving({}) as (url, asked):
        sender = HttpWebhookSender(f"{url}/api/payments/webhooks/psp", SECRET, connections=1)
        assert await sender.send(entry)
        await sender.close()
    call, headers, body = asked[0]
    assert call == CONTRACTS["webhook"]["call"]
    fits("webhook", json.loads(body))
    assert provider_at("http://psp.example").hinted(headers, body).order_id == ORDER_ID


def test_the_answers_of_the_shop_fit_the_contracts(shopper, admin) -> None:
    sku = admin.product(stock=1)
    shopper.put(sku)
    fits("cart", shopper.http.get("/api/cart").json())
    fits("product", shopper.http.get(f"/api/catalog/products/{sku}").json())
    assert b"/unknown-sku" in shopper.http.get("/api/catalog/products/NO-SUCH-THING").content
    fits("products", shopper.http.get("/api/catalog/products", params={"sku": sku}).json())
    fits("keys", shopper.http.get("/.well-known/jwks.json").json())
    fits("shown-products", shopper.http.get("/api/catalog/products", params=FILTERS).json())
    fits("guest", shopper.http.post("/api/identity/guests").json())
    order = shopper.buy(sku)
    fits("shown-order", shopper.http.get(f"/api/orders/{order}").json())


def test_the_back_office_asks_every_consumer_for_its_dead_letters() -> None:
    assert set(DEAD_LETTERS) == set(services.load(Path(__file__).parents[2]).consumers)


def test_the_answers_for_the_back_office_fit_the_contracts(shopper, admin) -> None:
    sku = admin.product(stock=1, amount=500)
    order = shopper.buy(sku)
    shopper.waits_for(order, "CONFIRMED")

    def asked(path: str, **query: str) -> Any:
        return admin.http.get(f"/api/admin/{path}", params=query).raise_for_status().json()

    fits("managed-products", asked("products", q=sku))
    fits("stock-history", asked(f"products/{sku}/stock-history"))
    fits("managed-orders", asked("orders", status="CONFIRMED"))
    fits("managed-payments", asked("payments", state="CAPTURED"))
    fits("managed-payment", asked(f"payments/{order}"))
    fits("accounts", asked("accounts", email="nobody@example.org"))
    for path in DEAD_LETTERS.values():
        fits("dead-letters", asked(path.removeprefix("/api/admin/")))


def test_catalog_and_cart_accept_the_same_skus() -> None:
    pattern = TypeAdapter(catalog.schemas.Sku).json_schema()["pattern"]
    assert pattern == cart.models.SKU_PATTERN


def test_the_answers_of_the_sandbox_provider_fit_the_contracts(shopper, admin, provider) -> None:
    """Repeats requests that are already done, so that no money moves."""
    id = shopper.buy(admin.product(stock=1, amount=500))
    shopper.waits_for(id, "CONFIRMED")
    shopper.http.post(f"/api/orders/{id}/cancel").raise_for_status()
    shopper.waits_for(id, "REFUNDED")

    def again(path: str, key: str, **body: Any) -> Any:
        answer = provider.post(path, json={"order_id": id, "amount": 500, **body}, headers={"Idempotency-Key": key})
        assert answer.raise_for_status().headers["Idempotent-Replayed"] == "true"
        return answer.json()

    fits("charge", again("/charges", f"{id}:charge", currency="EUR", payment_method="tok_visa"))
    fits("refund", again("/refunds", f"{id}:refund"))
    fits("charges", provider.get("/charges", params={"order_id": id}).json())
