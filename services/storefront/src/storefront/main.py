"""The composition root: `uvicorn --factory storefront.main:create`."""

from fastapi import FastAPI

from chassis.app import create_app
from chassis.http import HttpClient
from chassis.valkey import Valkey
from storefront import routes
from storefront.clients import CartClient, CatalogClient, IdentityClient, OrderClient, PrometheusClient, office
from storefront.models.cards import CARDS
from storefront.repository import Sessions
from storefront.settings import Settings
from storefront.usecases.live import Live

__all__ = ["create"]

MAX_STREAMS = 1_000
"""The most order pages of this process that get their order's steps at the same time. The others load again instead."""


def create(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings.load("storefront")
    valkey = Valkey(
        settings.valkey_url.get_secret_value(),
        "sessions",
        service="storefront",
        connections=settings.valkey_connections,
        timeout=settings.valkey_timeout,
    )
    catalog = HttpClient(settings.catalog_url, name="catalog")
    cart = HttpClient(settings.cart_url, name="cart")
    order = HttpClient(settings.order_url, name="order")
    streams = HttpClient(settings.order_url, name="order", connections=MAX_STREAMS)
    payment = HttpClient(settings.payment_url, name="payment")
    identity = HttpClient(settings.identity_url, name="identity", timeout=3.5)  # it hashes passwords in turns
    prometheus = HttpClient(settings.prometheus_url, name="prometheus") if settings.prometheus_url else None
    app = create_app(
        settings,
        "storefront",
        title="Storefront",
        routers=routes.routers,
        resources=[valkey, catalog, cart, order, streams, payment, identity, *([prometheus] if prometheus else [])],
        parts=routes.Parts(
            sessions=Sessions(valkey, days=settings.session_days),
            pages=routes.Pages(),
            catalog=CatalogClient(catalog),
            carts=CartClient(cart),
            identity=IdentityClient(identity),
            orders=OrderClient(order, streams),
            office=office(catalog=catalog, cart=cart, order=order, payment=payment, identity=identity),
            live=Live(PrometheusClient(prometheus)) if prometheus else None,
            currency=settings.currency,
            cards=CARDS[settings.payment_provider],
        ),
        openapi_url="/openapi.json",
        middleware=routes.middleware,
        kinds=routes.KINDS,
    )
    for error, handler in routes.handlers.items():
        app.add_exception_handler(error, handler)
    return app
