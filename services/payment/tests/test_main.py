"""The whole service against the real sandbox provider and a real broker; and its adapter and webhooks in detail."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import aio_pika
import httpx2
import msgspec
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from chassis.db import Database
from chassis.ids import uuid7
from chassis.messaging import Envelope, Publisher, pack
from chassis.messaging.envelope import unpack
from chassis.testing.clock import clock_off
from chassis.testing.fixtures import Broker
from payment import usecases
from payment.clients import SandboxProvider
from payment.main import create
from payment.models import Answer, Outcome, Payment, State
from payment.settings import Settings
from psp.main import create as create_psp
from psp.settings import Settings as PspSettings

from .conftest import cancel_event, charge_event

SECRET = "a-secret-of-the-tests"
HOOK = "/api/payments/webhooks/psp"


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", http="httptools"))
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
        assert not running.done()
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await running


@pytest.fixture
async def psp_url(tmp_path: Path) -> AsyncIterator[str]:
    settings = PspSettings(
        psp_database=tmp_path / "psp.sqlite",
        webhook_url="http://127.0.0.1:9/unused",
        psp_webhook_secret=SECRET,
        slow_seconds=2,
    )
    async with served(create_psp(settings)) as url:
        yield url


@pytest.fixture
async def provider(psp_url: str) -> AsyncIterator[SandboxProvider]:
    async with SandboxProvider(psp_url, SecretStr(SECRET), timeout=0.5, connections=4) as provider:
        yield provider


def payment(method: str = "tok_visa", **changed: Any) -> Payment:
    given = {"state": State.REQUESTED, "amount": 4200, "currency": "EUR", **changed}
    return Payment(uuid7(), payment_method=method, as_of=datetime.now(UTC), **given)


@pytest.mark.parametrize(
    ("method", "first", "second"),
    [
        ("tok_visa", Answer(Outcome.SUCCEEDED), Answer(Outcome.SUCCEEDED)),
        ("tok_declined", *[Answer(Outcome.REFUSED, "declined", stuck=True)] * 2),
        ("tok_insufficient_funds", *[Answer(Outcome.REFUSED, "insufficient_funds", stuck=True)] * 2),
        ("tok_slow", Answer(Outcome.UNKNOWN, "no-answer"), Answer(Outcome.SUCCEEDED)),
        ("tok_lost_reply", Answer(Outcome.UNKNOWN, "no-answer"), Answer(Outcome.SUCCEEDED)),
        ("x" * 300, *[Answer(Outcome.REFUSED, "invalid-request", stuck=True)] * 2),
    ],
)
async def test_each_token(provider: SandboxProvider, method: str, first: Answer, second: Answer) -> None:
    asked = payment(method)
    assert [await provider.charge(asked), await provider.charge(asked)] == [first, second]


async def test_refund_and_look_up(provider: SandboxProvider) -> None:
    asked = payment()
    refund = replace(asked, state=State.REFUNDING)
    assert await provider.find(asked.order_id) is None
    assert (await provider.refund(refund)).outcome is Outcome.REFUSED
    await provider.charge(asked)
    assert await provider.find(asked.order_id) == usecases.Record(True, 0, None)
    assert await provider.refund(refund) == Answer(Outcome.SUCCEEDED)
    assert await provider.find(asked.order_id) == usecases.Record(True, 4200, None)


async def test_a_key_used_for_another_amount_is_no_refusal_of_the_charge(provider: SandboxProvider) -> None:
    asked = payment()
    await provider.charge(asked)
    other = replace(asked, amount=1)
    assert await provider.charge(other) == Answer(Outcome.UNKNOWN, "key-reused", stuck=True)


async def test_a_provider_that_is_down_gives_no_answer() -> None:
    async with SandboxProvider("http://127.0.0.1:9", SecretStr(SECRET), timeout=0.5, connections=1) as dead:
        assert await dead.charge(payment()) == Answer(Outcome.UNKNOWN, "no-answer")
        assert await dead.find(uuid7()) is None


def signed(body: bytes, *, at: int | None = None, secret: str = SECRET) -> dict[str, str]:
    at = int(time.time()) if at is None else at
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Psp-Signature": f"t={at},v1={digest}", "Content-Type": "application/json"}


@pytest.fixture
async def api(database: Callable[[str], str]) -> AsyncIterator[tuple[httpx2.AsyncClient, Database]]:
    """The service's routes alone, and its database."""
    url = database("payment")
    settings = Settings(
        environment="development",
        role="api",
        database_url=url,
        broker_url="amqp://127.0.0.1:9/",
        psp_url="http://127.0.0.1:9",
        psp_webhook_secret=SECRET,
    )
    app = create(settings)
    async with (
        app.router.lifespan_context(app),
        Database(url, name="test") as db,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://payment") as client,
    ):
        yield client, db


async def unanswered(db: Database) -> UUID:
    """An order whose charge was asked once and not answered."""
    order_id = uuid7()
    await usecases.charge(db, [charge_event(order_id)])
    assert await usecases.lease(db, 1)
    return order_id


async def test_a_signed_webhook_makes_its_payment_due_as_often_as_it_comes(
    api: tuple[httpx2.AsyncClient, Database],
) -> None:
    client, db = api
    order_id = await unanswered(db)
    body = json.dumps({"id": "evt_1", "type": "charge.succeeded", "order_id": str(order_id)}).encode()
    headers = signed(body)
    answers = [await client.post(HOOK, content=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 204]
    assert [leased.order_id for leased in await usecases.lease(db, 10)] == [order_id]


@pytest.mark.parametrize(
    ("secret", "late"),
    [("another-secret-here", 0), (SECRET, 400), (SECRET, -400)],
    ids=["forged", "old", "from-the-future"],
)
async def test_a_webhook_that_is_not_the_providers_or_not_of_now(
    api: tuple[httpx2.AsyncClient, Database], secret: str, late: int
) -> None:
    client, db = api
    body = json.dumps({"order_id": str(await unanswered(db))}).encode()
    headers = signed(body, secret=secret, at=int(time.time()) - late)
    answer = await client.post(HOOK, content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"].endswith("bad-signature")
    assert await usecases.lease(db, 10) == []


@pytest.mark.parametrize("seconds", [-600, 600])
async def test_a_webhooks_age_is_told_by_the_database_and_not_by_this_process(
    api: tuple[httpx2.AsyncClient, Database], seconds: int
) -> None:
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
async def test_a_signature_that_is_none(api: tuple[httpx2.AsyncClient, Database], header: str | None) -> None:
    headers = {} if header is None else {"Psp-Signature": header.encode("latin-1")}
    answer = await api[0].post(HOOK, content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (400, "bad-signature")


async def test_a_body_that_was_changed_after_signing(api: tuple[httpx2.AsyncClient, Database]) -> None:
    headers = signed(b'{"order_id": "1"}')
    assert (await api[0].post(HOOK, content=b'{"order_id": "2"}', headers=headers)).status_code == 400


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"\xff\xfe", b'{"order_id": "\\ud800"}', b'{"order_id": 7}', b"[" * 9000, b'{"order_id":'],
)
async def test_signed_nonsense(api: tuple[httpx2.AsyncClient, Database], body: bytes) -> None:
    answer = await api[0].post(HOOK, content=body, headers=signed(body))
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (422, "invalid-request")


async def test_an_unknown_provider_and_a_huge_body(api: tuple[httpx2.AsyncClient, Database]) -> None:
    client, _ = api
    assert (await client.post("/api/payments/webhooks/other", content=b"{}")).status_code == 404
    body = b" " * 70_000
    assert (await client.post(HOOK, content=body, headers=signed(body))).status_code == 413


async def test_commands_in_and_replies_out(database: Callable[[str], str], rabbitmq: Broker, psp_url: str) -> None:
    settings = Settings(
        environment="development",
        database_url=database("payment"),
        broker_url=rabbitmq.url("payment"),
        psp_url=psp_url,
        psp_webhook_secret=SECRET,
    )
    good, bad, early = uuid7(), uuid7(), uuid7()
    commands = [
        cancel_event(early),
        charge_event(early),
        charge_event(good, payment_method="tok_lost_reply"),
        charge_event(bad, payment_method="tok_declined"),
    ]
    async with served(create(settings)), Publisher(rabbitmq.url("order"), name="test") as publisher:
        await send(publisher, commands)
        heard = await hear(rabbitmq.url("order"), 3)
        await send(publisher, [*commands, cancel_event(good)])
        heard += await hear(rabbitmq.url("order"), 1)
    assert sorted((e.type, e.subject) for e in heard) == sorted(
        [
            ("payment.cancelled.v1", str(early)),
            ("payment.captured.v1", str(good)),
            ("payment.failed.v1", str(bad)),
            ("payment.cancelled.v1", str(good)),
        ]
    )


async def send(publisher: Publisher, events: Iterable[Any]) -> None:
    for event in events:
        envelope = Envelope(
            id=event.id,
            source="/test",
            type=event.data.type,
            time=datetime.now(UTC),
            subject=event.subject,
            data=encoded(event.data),
        )
        ((_, body),) = pack([envelope])
        await publisher.publish("payment.in", event.data.type, body)


def encoded(data: Any) -> Any:
    return msgspec.Raw(msgspec.json.encode(data))


async def hear(url: str, count: int) -> list[Envelope]:
    found: list[Envelope] = []
    async with await aio_pika.connect(url) as connection, asyncio.timeout(20):
        queue = await (await connection.channel()).get_queue("order", ensure=False)
        async with queue.iterator() as messages:
            async for message in messages:
                await message.ack()
                found += unpack(message.body)
                if len(found) >= count:
                    break
    return found
