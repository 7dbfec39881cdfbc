"""The composition root: `uvicorn --factory catalog.main:create`."""

from functools import partial

from fastapi import FastAPI

from catalog import routes
from catalog.consumers import consumer
from catalog.jobs import gauges
from catalog.messages import PUBLISHED
from catalog.settings import Settings
from chassis import dead_letters
from chassis.app import create_app
from chassis.auth import TokenVerifier
from chassis.db import Database, migrations
from chassis.pruning import pruner
from chassis.relay import Relay

__all__ = ["create"]


def create(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings.load("catalog")
    db = Database(settings.database_url, name="catalog", size=settings.database_pool_size)
    verifier = TokenVerifier(settings.jwks_url, issuer=settings.issuer, audience=settings.audience)
    return create_app(
        settings,
        "catalog",
        title="Quayside catalog",
        routers=[
            dead_letters.router("/api/admin/products", "catalog", settings.broker_url),
            routes.router,
            routes.admin,
        ],
        direct=[routes.list_products, routes.read_product],
        resources=[db, verifier, Relay(db, settings.broker_url, "catalog", PUBLISHED)],
        workers=[consumer(db, settings.broker_url), gauges(db), pruner(db, "catalog", settings.archive_days)],
        verifier=verifier,
        parts=routes.Parts(db, settings.currency),
        kinds=routes.KINDS,
        started=partial(migrations.check, db, "catalog"),
    )
