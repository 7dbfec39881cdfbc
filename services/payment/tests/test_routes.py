"""Webhooks: what a provider signed hastens its payment; anything else does nothing."""

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest
import stripe

from chassis.db import Database
from chassis.ids import uuid7
from chassis.testing.apps import client_of, started
from chassis.testing.clock import clock_off
from chassis.testing.tokens import token
from payment import usecases
from payment.main import create
from payment.settings import Settings

from .conftest import SECRET, charge_event

HOOK = "/api/payments/webhooks/psp"
STRIPE_HOOK = "/api/payments/webhooks/stripe"
STRIPE_SECRET = "whsec_of_the_tests"

Api = tuple[httpx2.AsyncClient, Database]


def signed(body: bytes, *, at: int | None = None, secret: str = SECRET) -> dict[str, str]:
    at = int(time.time()) if at is None else at
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Psp-Signature": f"t={at},v1={digest}", "Content-Type": "application/json"}


def signed_by_stripe(body: bytes, *, at: int | None = None, secret: str = STRIPE_SECRET) -> dict[str, str]:
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, timestamp=at)
    return {"Stripe-Signature": header, "Content-Type": "application/json; charset=utf-8"}


def stripe_event(order_id: object, type: str = "payment_intent.succeeded", status: str = "succeeded") -> bytes:
    subject = {
        "id": "pi_3M0JqB2eZvKYlo2C",
        "object": type.partition(".")[0],
        "metadata": {"order_id": str(order_id)},
        "status": status,
    }
    event = {
        "id": "evt_3M0JqB2eZvKYlo2C",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": int(time.time()),
        "data": {"object": subject},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": type,
    }
    return json.dumps(event).encode()


@pytest.fixture
async def api(database: Callable[[str], str], jwks_url: str) -> AsyncIterator[Api]:
    """The service's routes alone, and its database."""
    url = database("payment")
    settings = Settings(
        environment="development",
        role="api",
        database_url=url,
        broker_url="amqp://127.0.0.1:9/",
        jwks_url=jwks_url,
        psp_url="http://127.0.0.1:9",
        psp_webhook_secret=SECRET,
        stripe_api_key="sk_test_123",
        stripe_webhook_secret=STRIPE_SECRET,
    )
    app = create(settings)
    async with (
        started(app),
        Database(url, name="test") as db,
        client_of(app) as client,
    ):
        yield client, db


async def unanswered(db: Database, provider: str = "psp") -> UUID:
    """An order whose charge was asked once and not answered."""
    order_id = uuid7()
    await usecases.charge(db, [charge_event(order_id)], provider)
    assert await usecases.lease(db, 1)
    return order_id


async def due(db: Database) -> list[UUID]:
    return [leased.order_id for leased in await usecases.lease(db, 10)]


def slug(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


async def test_a_signed_webhook_makes_its_payment_due_however_often_it_comes(api: Api) -> None:
    client, db = api
    order_id = await unanswered(db)
    body = json.dumps({"id": "evt_1", "type": "charge.succeeded", "order_id": str(order_id)}).encode()
    headers = signed(body)
    answers = [await client.post(HOOK, content=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 204]
    assert await due(db) == [order_id]


@pytest.mark.parametrize(
    ("secret", "late"),
    [("another-secret-here", 0), (SECRET, 400), (SECRET, -400)],
    ids=["forged", "old", "from-the-future"],
)
async def test_a_webhook_that_is_not_the_providers_or_not_recent_does_nothing(api: Api, secret: str, late: int) -> None:
    client, db = api
    body = json.dumps({"order_id": str(await unanswered(db))}).encode()
    headers = signed(body, secret=secret, at=int(time.time()) - late)
    answer = await client.post(HOOK, content=body, headers=headers)
    assert slug(answer) == (400, "bad-signature")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert await due(db) == []


@pytest.mark.parametrize("seconds", [-600, 600])
async def test_a_webhooks_age_is_judged_by_the_databases_clock(api: Api, seconds: int) -> None:
    client, db = api
    order_id = await unanswered(db)
    body = json.dumps({"order_id": str(order_id)}).encode()
    headers, skewed = signed(body), signed(body, at=int(time.time()) + seconds)
    with clock_off(seconds):
        assert (await client.post(HOOK, content=body, headers=skewed)).status_code == 400
        assert (await client.post(HOOK, content=body, headers=headers)).status_code == 204


@pytest.mark.parametrize(
    "header", [None, "", "t=1,v1=", "t=x,v1=" + "0" * 64, "v1=" + "0" * 64, "t=" + "9" * 400, "t=1,v1=é"]
)
@pytest.mark.parametrize(("hook", "name"), [(HOOK, "Psp-Signature"), (STRIPE_HOOK, "Stripe-Signature")])
async def test_a_signature_that_is_not_one_is_refused(api: Api, hook: str, name: str, header: str | None) -> None:
    headers = {} if header is None else {name: header.encode("latin-1")}
    assert slug(await api[0].post(hook, content=b"{}", headers=headers)) == (400, "bad-signature")


async def test_a_body_that_was_changed_after_signing_is_refused(api: Api) -> None:
    headers = signed(b'{"order_id": "1"}')
    assert (await api[0].post(HOOK, content=b'{"order_id": "2"}', headers=headers)).status_code == 400


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"\xff\xfe", b'{"order_id": "\\ud800"}', b'{"order_id": 7}', b"[" * 9000, b'{"order_id":'],
)
async def test_a_signed_body_that_is_no_event_is_invalid(api: Api, body: bytes) -> None:
    assert slug(await api[0].post(HOOK, content=body, headers=signed(body))) == (422, "invalid-request")


async def test_an_unknown_provider_and_a_huge_body_are_refused(api: Api) -> None:
    client, _ = api
    assert (await client.post("/api/payments/webhooks/other", content=b"{}")).status_code == 404
    body = b" " * 70_000
    assert (await client.post(HOOK, content=body, headers=signed(body))).status_code == 413


@pytest.mark.parametrize("type", ["payment_intent.succeeded", "refund.updated"])
async def test_an_event_of_stripe_makes_its_payment_due_however_often_it_comes(api: Api, type: str) -> None:
    client, db = api
    order_id = await unanswered(db, "stripe")
    body = stripe_event(order_id, type)
    headers = signed_by_stripe(body)
    answers = [await client.post(STRIPE_HOOK, content=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 204]
    assert await due(db) == [order_id]


@pytest.mark.parametrize(
    ("type", "status", "asked"),
    [
        ("refund.failed", "failed", True),
        ("refund.updated", "failed", True),
        ("refund.updated", "canceled", True),
        ("refund.updated", "succeeded", False),
        ("payment_intent.canceled", "canceled", False),
    ],
)
async def test_stripe_is_asked_again_about_a_refund_only_when_it_says_that_it_failed(
    api: Api, type: str, status: str, asked: bool
) -> None:
    client, db = api
    order_id = await unanswered(db, "stripe")
    async with db.connection() as connection:
        await connection.execute("UPDATE payments SET state = 'REFUNDED', next_attempt_at = NULL")
    body = stripe_event(order_id, type, status)
    assert (await client.post(STRIPE_HOOK, content=body, headers=signed_by_stripe(body))).status_code == 204
    assert await due(db) == ([order_id] if asked else [])


@pytest.mark.parametrize(
    ("secret", "late"),
    [("whsec_another", 0), (STRIPE_SECRET, 400), (STRIPE_SECRET, -400)],
    ids=["forged", "old", "from-the-future"],
)
async def test_an_event_that_is_not_stripes_or_not_recent_does_nothing(api: Api, secret: str, late: int) -> None:
    client, db = api
    body = stripe_event(await unanswered(db, "stripe"))
    headers = signed_by_stripe(body, secret=secret, at=int(time.time()) - late)
    assert slug(await client.post(STRIPE_HOOK, content=body, headers=headers)) == (400, "bad-signature")
    assert await due(db) == []


async def test_a_second_time_in_the_header_does_not_make_an_old_event_recent(api: Api) -> None:
    """Stripe's SDK would check the first time, and the age would be that of the second."""
    client, db = api
    body = stripe_event(await unanswered(db, "stripe"))
    old = signed_by_stripe(body, at=int(time.time()) - 400)["Stripe-Signature"]
    at, _, signature = old.partition(",")
    for header in (f"{at}=,t={int(time.time())},{signature}", f"{at},t={int(time.time())},{signature}"):
        answer = await client.post(STRIPE_HOOK, content=body, headers={"Stripe-Signature": header})
        assert slug(answer) == (400, "bad-signature")
    assert await due(db) == []


@pytest.mark.parametrize(
    "data",
    [
        {"object": {"id": "cus_1", "object": "customer"}},
        {"object": {"id": "pi_1", "metadata": {}}},
        {"object": {"id": "po_1", "metadata": None}},
        {"object": {"id": "pi_1", "metadata": {"order_id": "1001"}}},
        {"object": {"id": "pi_1", "metadata": {"order_id": 7}}},
        {"object": None},
        {},
        None,
    ],
)
async def test_an_event_of_stripe_about_nothing_of_ours_is_taken_and_ignored(api: Api, data: Any) -> None:
    """Stripe would repeat, and in the end switch off, what is refused. Other applications may share the account."""
    client, db = api
    await unanswered(db, "stripe")
    body = json.dumps({"id": "evt_1", "object": "event", "data": data}).encode()
    answer = await client.post(STRIPE_HOOK, content=body, headers=signed_by_stripe(body))
    assert answer.status_code == 204
    assert await due(db) == []


@pytest.mark.parametrize("body", [b"", b"{", b"event", b'{"data": {"object":'])
async def test_a_body_signed_by_stripe_that_is_not_json_is_invalid(api: Api, body: bytes) -> None:
    answer = await api[0].post(STRIPE_HOOK, content=body, headers=signed_by_stripe(body))
    assert slug(answer) == (422, "invalid-request")


async def test_bytes_that_are_no_text_cannot_be_signed_by_stripe(api: Api) -> None:
    headers = signed_by_stripe(b"{}")
    assert slug(await api[0].post(STRIPE_HOOK, content=b"\xff\xfe", headers=headers)) == (400, "bad-signature")


@pytest.fixture
async def manager(api: Api) -> httpx2.AsyncClient:
    client, _ = api
    client.headers["Authorization"] = f"Bearer {token(scope='orders:manage')}"
    return client


async def test_a_manager_sees_payments_by_state(api: Api, manager: httpx2.AsyncClient) -> None:
    _, db = api
    ids = [await unanswered(db) for _ in range(3)]

    async def found(query: str) -> tuple[list[str], str | None]:
        answer = await manager.get(f"/api/admin/payments?{query}")
        assert answer.status_code == 200, answer.text
        return [item["order_id"] for item in answer.json()["items"]], answer.json()["next_cursor"]

    newest = sorted(map(str, ids), reverse=True)
    assert await found("") == (newest, None)
    assert await found("state=REQUESTED") == (newest, None)
    assert await found("state=CAPTURED") == ([], None)
    assert await found("stuck=true") == ([], None)
    async with db.transaction() as tx:
        await tx.execute("UPDATE payments SET stuck = true WHERE order_id = $1", ids[1])
    assert await found("stuck=true") == ([str(ids[1])], None)
    assert await found("stuck=false") == (newest, None)
    assert await found("limit=2") == (newest[:2], newest[1])
    assert await found(f"state=REQUESTED&limit=2&cursor={newest[1]}") == (newest[2:], None)
    payment = (await manager.get(f"/api/admin/payments/{ids[0]}")).json()
    assert (payment["state"], payment["amount"], payment["provider"]) == ("REQUESTED", 4200, "psp")
    missing = await manager.get(f"/api/admin/payments/{uuid7()}")
    assert (missing.status_code, missing.json()["type"].rpartition("/")[2]) == (404, "unknown-payment")


@pytest.mark.parametrize(
    "query", ["state=OPEN", "stuck=yes", "limit=0", "cursor=x", "state=UNKNOWN&state=FAILED", "x=1"]
)
async def test_a_wrong_query_is_refused(manager: httpx2.AsyncClient, query: str) -> None:
    assert (await manager.get(f"/api/admin/payments?{query}")).status_code == 422


async def test_others_see_no_payments(api: Api) -> None:
    client, _ = api
    for headers, status in (({}, 401), ({"Authorization": f"Bearer {token(scope='catalog:write')}"}, 403)):
        for path in ("", f"/{uuid7()}"):
            assert (await client.get(f"/api/admin/payments{path}", headers=headers)).status_code == status
