"""Composition root: `uvicorn --factory payment.main:create`."""

from fastapi import FastAPI

from chassis.app import create_app
from chassis.db import Database, migrations
from chassis.relay import Relay
from payment import routes
from payment.clients import SandboxProvider
from payment.consumers import consumer
from payment.jobs import Driver
from payment.messages import PUBLISHED
from payment.settings import Settings


def create(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings.load("payment")
    db = Database(settings.database_url, name="payment", size=4)
    psp = SandboxProvider(
        settings.psp_url,
        settings.psp_webhook_secret,
        timeout=settings.provider_timeout,
        connections=settings.provider_concurrency,
    )
    driver = Driver(db, psp, concurrency=settings.provider_concurrency)
    return create_app(
        settings,
        "payment",
        title="Payments",
        routers=[routes.router],
        resources=[db, psp, Relay(db, settings.broker_url, "payment", PUBLISHED)],
        workers=[driver, consumer(db, driver.wake, settings.broker_url)],
        state={"webhooks": routes.Webhooks(db, {"psp": psp}, driver.wake)},
        started=lambda: migrations.check(db, "payment"),
        openapi_url="/api/payments/openapi.json",
    )
