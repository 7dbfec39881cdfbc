"""Composition root: `uvicorn --factory cart.main:create`."""

from fastapi import FastAPI

from cart import consumers, routes
from cart.repository import Carts
from cart.settings import Settings
from chassis.app import create_app
from chassis.auth import TokenVerifier
from chassis.messaging import Consumer

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
        workers=[Consumer(settings.broker_url, "cart", consumers.handlers(carts))],
        state={"carts": carts, "verifier": verifier},
        started=carts.ping,
    )
