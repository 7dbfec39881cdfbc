"""Settings of cart, from the environment."""

from typing import Annotated

from pydantic import Field

from chassis.settings import BrokerUrl, HttpUrl, JwksUrl, ServiceSettings, ValkeyUrl

__all__ = ["Settings"]


class Settings(ServiceSettings):
    """The settings common to all services are in `ServiceSettings`."""

    valkey_url: ValkeyUrl
    """`redis://:password@host:port/0`"""

    broker_url: BrokerUrl
    """`amqp://user:password@host:port/quayside`"""

    jwks_url: JwksUrl
    """The address of identity's keys: `http://host:port/.well-known/jwks.json`"""

    catalog_url: HttpUrl
    """The address of catalog: `http://host:port`. While it does not answer, a cart accepts any SKU."""

    valkey_connections: Annotated[int, Field(ge=1, le=200)] = 16
    """The most connections that a process holds."""

    valkey_timeout: Annotated[float, Field(gt=0, le=5)] = 1.5
    """Seconds to wait for a connection, and for an answer. More than 1, because TCP resends a lost SYN after 1 s."""

    cart_days: Annotated[int, Field(ge=1, le=365)] = 30
    """Days that a cart is kept after its last change."""
