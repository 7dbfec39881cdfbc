"""The catalogue, put together."""

from fastapi import FastAPI

from catalog.consumers import consumer
from catalog.messages import PUBLISHED
from catalog.routes import router
from catalog.settings import Settings
from chassis.app import create_app
from chassis.auth import TokenVerifier
from chassis.db import Database, migrations
from chassis.relay import Relay

__all__ = ["create"]


def create(settings: Settings | None = None) -> FastAPI:
    """For `uvicorn --factory catalog.main:create`."""
    settings = settings or Settings.load("catalog")
    db = Database(settings.database_url, name="catalog", size=settings.database_pool_size)
    verifier = TokenVerifier(settings.jwks_url, issuer=settings.issuer, audience=settings.audience)
    return create_app(
        settings,
        "catalog",
        title="Quayside catalogue",
        routers=[router],
        resources=[db, verifier, Relay(db, settings.broker_url, "catalog", PUBLISHED)],
        workers=[consumer(db, settings.broker_url)],
        state={"db": db, "verifier": verifier, "currency": settings.currency},
        started=lambda: migrations.check(db, "catalog"),
    )
