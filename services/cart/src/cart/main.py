"""Composition root: `uvicorn --factory cart.main:create`."""

from fastapi import FastAPI

from cart import routes
from cart.consumers import consumer
from cart.repository import Carts
from cart.settings import Settings
from chassis.app import create_app
from chassis.auth import TokenVerifier

__all__ = ["create"]


def create(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings()
    carts = Carts(
        settings.valkey_url.get_secret_value(),
        days=settings.cart_days,
        connections=settings.valkey_connections,
        timeout=settings.valkey_timeout,
    )
    verifier = TokenVerifier(settings.jwks_url, issuer=settings.issuer, audience=settings.audience)
    return create_app(
        settings,
        "cart",
        title="Cart",
        routers=[routes.router],
        resources=[carts, verifier],
        workers=[consumer(carts, settings.broker_url)],
        state={"carts": carts, "verifier": verifier},
        started=carts.ping,
    )
