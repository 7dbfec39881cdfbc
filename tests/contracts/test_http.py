"""Checks each call between services against its contract: the client accepts it, and the server fulfills it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx2
import pytest
from agreed import CONTRACTS, fits, serving
from joserfc import jwt
from joserfc.jwk import ECKey
from pydantic import SecretStr, TypeAdapter

import cart.clients
import cart.models
import catalog.schemas
from chassis.auth import TokenVerifier
from chassis.errors import Unavailable
from chassis.http import HttpClient
from order.clients import CartClient, CatalogClient
from order.usecases.placing import Cart
from payment.clients.sandbox import SandboxProvider
from payment.models import Outcome, Payment, State
from psp.clients import HttpWebhookSender, signature
from psp.models import Entry, Kind, Status

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ORDER_ID = UUID("0198a4e0-0000-7000-8000-000000000001")
SECRET = "a-secret-of-the-tests"
CHARGE = Payment(ORDER_ID, State.REQUESTED, amount=500, currency="EUR", payment_method="tok_visa", as_of=NOW)
REFUND = Payment(ORDER_ID, State.REFUNDING, amount=500, currency="EUR", payment_method="tok_visa", as_of=NOW)


# --- callers -------------------------------------------------------------------------------------


async def reads_cart(url: str, example: Any) -> None:
    async with HttpClient(url, name="cart") as http:
        found = await CartClient(http).read("a.b.c")
    assert found.version == example["version"]
    assert list(found.items) == [(item["sku"], item["quantity"]) for item in example["items"]]


async def reads_carts(url: str, example: Any) -> None:
    async with HttpClient(url, name="cart") as http:
        carts = CartClient(http)
        refused, found = await asyncio.gather(carts.read("a.b.c"), carts.read("d.e.f"), return_exceptions=True)
    assert isinstance(refused, Unavailable)
    assert isinstance(found, Cart)
    assert found.version == example["carts"][1]["version"]


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


CALLERS: dict[str, Callable[[str, Any], Awaitable[None]]] = {
    "cart": reads_cart,
    "carts": reads_carts,
    "products": finds_products,
    "product": knows_a_product,
    "charge": charges,
    "refund": refunds,
    "charges": looks_up_charges,
    "keys": fetches_keys,
}
EXAMPLES = [(name, example) for name in CALLERS for example in CONTRACTS[name]["examples"]]


def test_every_call_has_a_contract() -> None:
    agreed = {name for name, contract in CONTRACTS.items() if contract["from"] != "storefront"}
    assert {*CALLERS, "webhook"} == agreed


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
async def test_the_client_sends_the_agreed_request_and_accepts_valid_answers(name: str, example: Any) -> None:
    fits(name, example)
    async with serving({**example, "added_later": {"by": "a newer version"}}) as (url, asked):
        await CALLERS[name](url, example)
    assert asked[0].call == CONTRACTS[name]["call"]


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


def test_the_answers_of_the_shop_fit_the_contracts(shop, shopper, admin) -> None:
    sku = admin.product(stock=1)
    shopper.put(sku)
    fits("cart", shopper.http.get("/api/cart").json())
    token = shopper.http.headers["Authorization"].removeprefix("Bearer ")
    internal = f"http://127.0.0.1:{shop.place.port('cart')}/internal/carts"
    fits("carts", httpx2.post(internal, json={"tokens": [token, "a.b.c"]}).json())
    fits("product", shopper.http.get(f"/api/catalog/products/{sku}").json())
    assert b"/unknown-sku" in shopper.http.get("/api/catalog/products/NO-SUCH-THING").content
    fits("products", shopper.http.get("/api/catalog/products", params={"sku": sku}).json())
    fits("keys", shopper.http.get("/.well-known/jwks.json").json())


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
