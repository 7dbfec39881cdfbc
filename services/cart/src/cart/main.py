"""The composition root: `uvicorn --factory cart.main:create`."""

from fastapi import FastAPI

from cart import routes
from cart.clients import TIMEOUT, CatalogClient
from cart.consumers import consumer
from cart.repository import Carts
from cart.settings import Settings
from chassis import dead_letters
from chassis.app import create_app
from chassis.auth import TokenVerifier
from chassis.http import HttpClient
from chassis.valkey import Valkey

__all__ = ["create"]


def create(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings.load("cart")
    valkey = Valkey(
        settings.valkey_url.get_secret_value(),
        "carts",
        service="cart",
        connections=settings.valkey_connections,
        timeout=settings.valkey_timeout,
    )
    carts = Carts(valkey, days=settings.cart_days)
    catalog = HttpClient(settings.catalog_url, name="catalog", timeout=TIMEOUT)
    verifier = TokenVerifier(settings.jwks_url, issuer=settings.issuer, audience=settings.audience)
    return create_app(
        settings,
        "cart",
        title="Cart",
        routers=[dead_letters.router("/api/admin/carts", "cart", settings.broker_url), routes.router, routes.internal],
        direct=[routes.read, routes.read_all, routes.put],
        resources=[valkey, catalog, verifier],
        workers=[consumer(carts, settings.broker_url)],
        verifier=verifier,
        parts=routes.Parts(carts, CatalogClient(catalog), verifier),
        kinds=routes.KINDS,
        started=valkey.ping,
    )
