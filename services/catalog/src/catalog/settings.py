"""Settings of catalog, from the environment."""

from typing import Annotated

from pydantic import Field

from chassis.settings import BrokerUrl, DatabaseUrl, JwksUrl, ServiceSettings

__all__ = ["Settings"]


class Settings(ServiceSettings):
    """The settings common to all services are in `ServiceSettings`."""

    database_url: DatabaseUrl
    """`postgresql://user:password@host:port/catalog`"""

    broker_url: BrokerUrl
    """`amqp://user:password@host:port/quayside`"""

    jwks_url: JwksUrl
    """The address of identity's keys: `http://host:port/.well-known/jwks.json`"""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    """The shop's only currency, as an ISO 4217 code."""

    archive_days: Annotated[int, Field(ge=1, le=36_500)] = 30
    """Days for which published messages are kept. All services have the same value."""

    database_pool_size: Annotated[int, Field(ge=2, le=50)] = 6
    """The most connections that a process holds. The relay uses one of them, the consumer another."""
