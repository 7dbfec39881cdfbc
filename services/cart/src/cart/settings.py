"""What the cart takes from its environment."""

from typing import Annotated

from pydantic import Field

from chassis.settings import BrokerUrl, HttpUrl, JwksUrl, ServiceSettings, ValkeyUrl

__all__ = ["Settings"]


class Settings(ServiceSettings):
    """Further knobs are in `ServiceSettings`."""

    valkey_url: ValkeyUrl
    """`redis://:password@host:port/0`"""

    broker_url: BrokerUrl
    """`amqp://user:password@host:port/quayside`"""

    jwks_url: JwksUrl
    """Where identity publishes its keys: `http://host:port/.well-known/jwks.json`"""

    catalog_url: HttpUrl
    """Where catalog answers: `http://host:port`. While it does not, any SKU can be put into a cart."""

    valkey_connections: Annotated[int, Field(ge=1, le=200)] = 16
    """Connections a process holds at the most."""

    valkey_timeout: Annotated[float, Field(gt=0, le=5)] = 1.5
    """Seconds to wait for a connection, and for an answer: more than one, after which TCP sends a lost SYN again."""

    cart_days: Annotated[int, Field(ge=1, le=365)] = 30
    """How long a cart is kept after its last change."""
