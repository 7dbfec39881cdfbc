"""The whole service with a real database and a real broker: commands in, money moved once, replies out."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import aio_pika
import msgspec

from chassis.db import Database
from chassis.ids import uuid7
from chassis.messaging import Envelope, Publisher, pack
from chassis.messaging.envelope import unpack
from chassis.testing.apps import served
from chassis.testing.fixtures import Broker
from payment.main import create
from payment.settings import Settings

from .clients.stripe_api import StripeApi, serving
from .conftest import SECRET, cancel_event, charge_event


async def test_commands_in_and_replies_out(database: Callable[[str], str], rabbitmq: Broker, psp_url: str) -> None:
    settings = Settings(
        environment="development",
        database_url=database("payment"),
        broker_url=rabbitmq.url("payment"),
        jwks_url="http://127.0.0.1:9/.well-known/jwks.json",
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


async def test_the_same_through_stripe(database: Callable[[str], str], rabbitmq: Broker, psp_url: str) -> None:
    api, url = StripeApi(troubles=["lost"]), database("payment")
    settings = Settings(
        environment="development",
        database_url=url,
        broker_url=rabbitmq.url("payment"),
        jwks_url="http://127.0.0.1:9/.well-known/jwks.json",
        psp_url=psp_url,
        psp_webhook_secret=SECRET,
        stripe_api_key="sk_test_123",
        stripe_webhook_secret="whsec_of_the_tests",
        payment_provider="stripe",
        provider_timeout=0.5,
    )
    good, bad, action = uuid7(), uuid7(), uuid7()
    async with (
        serving(api) as stripe,
        served(create(settings.model_copy(update={"stripe_api_base": stripe}))),
        Publisher(rabbitmq.url("order"), name="test") as publisher,
    ):
        await send(publisher, [charge_event(good, payment_method="pm_card_visa")])
        (captured,) = await hear(rabbitmq.url("order"), 1)
        assert (captured.type, captured.subject) == ("payment.captured.v1", str(good))
        assert len(api.keys) > 1, "its first answer was lost"
        assert set(api.keys) == {f"{good}:charge"}
        assert api.taken == 4200

        await send(
            publisher,
            [
                charge_event(bad, payment_method="pm_card_visa_chargeDeclinedInsufficientFunds"),
                charge_event(action, payment_method="pm_card_authenticationRequired"),
            ],
        )
        failed = await hear(rabbitmq.url("order"), 2)
        assert {(e.type, e.subject, msgspec.json.decode(e.data)["reason"]) for e in failed} == {
            ("payment.failed.v1", str(bad), "insufficient_funds"),
            ("payment.failed.v1", str(action), "requires-action"),
        }

        await send(publisher, [cancel_event(good)])
        (cancelled,) = await hear(rabbitmq.url("order"), 1)
        assert (cancelled.type, cancelled.subject) == ("payment.cancelled.v1", str(good))
        assert msgspec.json.decode(cancelled.data) == {"order_id": str(good), "refunded": True}
        assert api.taken == 0
    async with Database(url, name="test") as db, db.connection() as connection:
        rows = await connection.fetch("SELECT provider, provider_reference FROM payments")
    assert {row["provider"] for row in rows} == {"stripe"}
    assert {row["provider_reference"] for row in rows} == api.intents.keys()


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
