"""Settings, from the environment."""

from typing import Annotated

from pydantic import Field

from chassis.settings import BrokerUrl, DatabaseUrl, HttpUrl, JwksUrl, ServiceSettings

__all__ = ["Settings"]


class Settings(ServiceSettings):
    """The settings of this service, besides those of `ServiceSettings`."""

    database_url: DatabaseUrl
    broker_url: BrokerUrl
    jwks_url: JwksUrl
    cart_url: HttpUrl
    catalog_url: HttpUrl
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    order_ttl_seconds: Annotated[int, Field(ge=1)] = 900
    """How long an order may stay open before it expires."""
    sweep_seconds: Annotated[float, Field(gt=0)] = 5
    """How often the service looks for expired orders and unanswered undo commands."""
    archive_days: Annotated[int, Field(ge=1, le=36_500)] = 30
    """Days for which published messages are kept. All services have the same value."""
    database_pool_size: Annotated[int, Field(ge=1)] = 5
