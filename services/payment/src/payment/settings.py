"""What the payment service takes from its environment."""

from typing import Annotated

from pydantic import Field, SecretStr

from chassis.settings import BrokerUrl, DatabaseUrl, HttpUrl, ServiceSettings


class Settings(ServiceSettings):
    """A field per environment variable."""

    database_url: DatabaseUrl
    broker_url: BrokerUrl
    psp_url: HttpUrl
    """The sandbox provider, such as `http://127.0.0.1:8007`."""
    psp_webhook_secret: Annotated[SecretStr, Field(min_length=16)]
    """The provider signs its webhooks with it."""

    provider_timeout: Annotated[float, Field(gt=0, le=30)] = 10.0
    """Seconds until a call counts as unanswered; well under a lease."""
    provider_concurrency: Annotated[int, Field(ge=1, le=1024)] = 128
    """Calls in flight from this process; slow ones hold their place, so it is generous."""
