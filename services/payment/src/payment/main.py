"""The composition root: `uvicorn --factory payment.main:create`."""

from functools import partial
from typing import TYPE_CHECKING

from fastapi import FastAPI

from chassis import dead_letters
from chassis.app import create_app
from chassis.auth import TokenVerifier
from chassis.db import Database, migrations
from chassis.pruning import pruner
from chassis.relay import Relay
from payment import routes
from payment.clients.sandbox import SandboxProvider
from payment.consumers import consumer
from payment.jobs import Driver, gauges
from payment.messages import PUBLISHED
from payment.settings import Settings

if TYPE_CHECKING:
    from payment.clients.stripe import StripeProvider


def create(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings.load("payment")
    db = Database(settings.database_url, name="payment", size=4)
    providers = providers_of(settings)
    verifier = TokenVerifier(settings.jwks_url, issuer=settings.issuer, audience=settings.audience)
    driver = Driver(db, providers, concurrency=settings.provider_concurrency)
    return create_app(
        settings,
        "payment",
        title="Payments",
        routers=[
            dead_letters.router("/api/admin/payments", "payment", settings.broker_url),
            routes.router,
            routes.admin,
        ],
        resources=[db, verifier, *providers.values(), Relay(db, settings.broker_url, "payment", PUBLISHED)],
        workers=[
            driver,
            consumer(db, partial(driver.charge, provider=settings.payment_provider), driver.wake, settings.broker_url),
            gauges(db),
            pruner(db, "payment", settings.archive_days),
        ],
        verifier=verifier,
        parts=routes.Parts(db, providers, driver.wake),
        started=lambda: migrations.check(db, "payment"),
        openapi_url="/api/payments/openapi.json",
    )


def providers_of(settings: Settings) -> "dict[str, SandboxProvider | StripeProvider]":
    """Returns the providers, by the names that payments record. Stripe is among them only if its keys are given."""
    timeout, connections = settings.provider_timeout, settings.provider_concurrency
    psp = SandboxProvider(settings.psp_url, settings.psp_webhook_secret, timeout=timeout, connections=connections)
    if settings.stripe_api_key is None or settings.stripe_webhook_secret is None:
        return {"psp": psp}
    from payment.clients.stripe import StripeProvider  # not above: its SDK costs 13 MB and 0.3 s

    stripe = StripeProvider(
        settings.stripe_api_key,
        settings.stripe_webhook_secret,
        base=settings.stripe_api_base,
        timeout=timeout,
        connections=connections,
    )
    return {"psp": psp, "stripe": stripe}
