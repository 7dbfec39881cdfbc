"""What the catalogue takes from its environment."""

from typing import Annotated

from pydantic import Field

from chassis.settings import BrokerUrl, DatabaseUrl, JwksUrl, ServiceSettings

__all__ = ["Settings"]


class Settings(ServiceSettings):
    """Further knobs are in `ServiceSettings`."""

    database_url: DatabaseUrl
    """`postgresql://user:password@host:port/catalog`"""

    broker_url: BrokerUrl
    """`amqp://user:password@host:port/quayside`"""

    jwks_url: JwksUrl
    """Where identity publishes its keys: `http://host:port/.well-known/jwks.json`"""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    """ISO 4217; the shop has one."""

    database_pool_size: Annotated[int, Field(ge=2, le=50)] = 6
    """Connections a process holds at the most; one is the relay's, one the consumer's."""
