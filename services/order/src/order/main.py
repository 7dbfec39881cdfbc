"""The composition root: `uvicorn --factory order.main:create`."""

from functools import partial

from fastapi import FastAPI

from chassis import dead_letters
from chassis.app import create_app
from chassis.auth import TokenVerifier
from chassis.db import Database, migrations
from chassis.http import HttpClient
from chassis.pruning import pruner
from chassis.relay import Relay
from order import routes
from order.clients import CartClient, CatalogClient
from order.consumers import consumer
from order.jobs import gauges, sweeper
from order.messages import PUBLISHED
from order.settings import Settings
from order.usecases.feed import Feed
from order.usecases.placing import Placement

__all__ = ["create"]


def create(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings.load("order")
    db = Database(settings.database_url, name="order", size=settings.database_pool_size)
    verifier = TokenVerifier(settings.jwks_url, issuer=settings.issuer, audience=settings.audience)
    relay = Relay(db, settings.broker_url, "order", PUBLISHED)
    cart = HttpClient(settings.cart_url, name="cart")
    catalog = HttpClient(settings.catalog_url, name="catalog")
    feed = Feed(db)
    placement = Placement(
        db,
        CartClient(cart),
        CatalogClient(catalog),
        currency=settings.currency,
        ttl_seconds=settings.order_ttl_seconds,
        backlog=lambda: relay.backlog_seconds,
    )
    return create_app(
        settings,
        "order",
        title="Quayside orders",
        openapi_url="/api/orders/openapi.json",
        routers=[dead_letters.router("/api/admin/orders", "order", settings.broker_url), routes.router, routes.admin],
        direct=[routes.place],
        resources=[db, verifier, relay, cart, catalog, feed],
        workers=[
            consumer(db, settings.broker_url),
            sweeper(db, settings.sweep_seconds),
            gauges(db),
            pruner(db, "order", settings.archive_days),
        ],
        verifier=verifier,
        parts=routes.Parts(db, placement, feed),
        kinds=routes.KINDS,
        started=partial(migrations.check, db, "order"),
    )
