"""Settings, from the environment."""

from typing import Annotated, Literal

from pydantic import Field

from chassis.settings import HttpUrl, ServiceSettings, ValkeyUrl

__all__ = ["Settings"]


class Settings(ServiceSettings):
    """The settings of this service, besides those of `ServiceSettings`."""

    valkey_url: ValkeyUrl
    """`redis://user:password@host:port/0`; it holds the sessions"""

    catalog_url: HttpUrl
    """The address of catalog: `http://host:port`"""

    cart_url: HttpUrl
    """The address of cart: `http://host:port`"""

    order_url: HttpUrl
    """The address of order: `http://host:port`"""

    payment_url: HttpUrl
    """The address of payment: `http://host:port`"""

    identity_url: HttpUrl
    """The address of identity: `http://host:port`"""

    prometheus_url: HttpUrl | None = None
    """Where the live map gets its numbers: `http://host:9090`. Without it, the page says how to get a Prometheus."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    """The shop's only currency."""

    payment_provider: Literal["psp", "stripe"] = "psp"
    """The payment service's provider of new payments. The checkout shows this provider's test cards."""

    session_days: Annotated[int, Field(ge=1, le=90)] = 30
    """Days that a session is kept after its last use. A guest's also ends with the guest's token."""

    valkey_connections: Annotated[int, Field(ge=1, le=200)] = 16
    """The most connections that a process holds."""

    valkey_timeout: Annotated[float, Field(gt=0, le=5)] = 1.5
    """Seconds to wait for a connection, and for an answer. More than 1, because TCP resends a lost SYN after 1 s."""
