"""Settings, from the environment."""

from typing import Annotated

from pydantic import Field

from chassis.settings import BrokerUrl, DatabaseUrl, HttpUrl, JwksUrl, ServiceSettings

__all__ = ["Settings"]


class Settings(ServiceSettings):
    """The settings of this service, besides those of `ServiceSettings`."""

    database_url: DatabaseUrl
    """`postgresql://user:password@host:port/order`"""
    broker_url: BrokerUrl
    """`amqp://user:password@host:port/quayside`"""
    jwks_url: JwksUrl
    """The address of identity's keys: `http://host:port/.well-known/jwks.json`"""
    cart_url: HttpUrl
    """The address of cart: `http://host:port`"""
    catalog_url: HttpUrl
    """The address of catalog: `http://host:port`"""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    """The shop's only currency, as an ISO 4217 code."""
    order_ttl_seconds: Annotated[int, Field(ge=1)] = 900
    """Seconds for which an order may stay open; then it expires."""
    sweep_seconds: Annotated[float, Field(gt=0)] = 5
    """Seconds between two searches for expired orders and unanswered undo commands."""
    archive_days: Annotated[int, Field(ge=1, le=36_500)] = 30
    """Days for which published messages are kept. All services have the same value."""
    database_pool_size: Annotated[int, Field(ge=1)] = 5
    """The most connections that a process holds."""
