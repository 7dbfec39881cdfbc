"""Settings, from the environment."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from chassis.settings import BrokerUrl, DatabaseUrl, HttpUrl, JwksUrl, ServiceSettings


class Settings(ServiceSettings):
    """The settings of this service, besides those of `ServiceSettings`."""

    database_url: DatabaseUrl
    """`postgresql://user:password@host:port/payment`"""
    broker_url: BrokerUrl
    """`amqp://user:password@host:port/quayside`"""
    jwks_url: JwksUrl
    """The address of identity's keys: `http://host:port/.well-known/jwks.json`"""
    psp_url: HttpUrl
    """The URL of the sandbox provider, such as `http://127.0.0.1:8007`."""
    psp_webhook_secret: Annotated[SecretStr, Field(min_length=16)]
    """The secret with which the sandbox provider signs its webhooks."""

    stripe_api_key: SecretStr | None = None
    """Stripe's secret key. With it and the webhook secret, Stripe is a provider too."""
    stripe_webhook_secret: Annotated[SecretStr | None, Field(validate_default=True)] = None
    """The secret with which Stripe signs its webhooks."""
    stripe_api_base: HttpUrl = "https://api.stripe.com"
    """The URL of Stripe's API. Only tests use another one."""

    payment_provider: Literal["psp", "stripe"] = "psp"
    """The provider of new payments. An open payment stays with the provider that began it."""
    provider_timeout: Annotated[float, Field(gt=0, le=30)] = 10.0
    """Seconds until a call counts as unanswered. They must be far fewer than those of a lease."""
    provider_concurrency: Annotated[int, Field(ge=1, le=1024)] = 128
    """The limit of calls in flight from this process. It is high, because slow calls count too."""

    archive_days: Annotated[int, Field(ge=1, le=36_500)] = 30
    """Days for which published messages are kept. All services have the same value."""

    @field_validator("stripe_webhook_secret")
    @classmethod
    def require_both(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if "stripe_api_key" in info.data and (value is None) != (info.data["stripe_api_key"] is None):
            raise ValueError("STRIPE_API_KEY and STRIPE_WEBHOOK_SECRET go together; set both or neither")
        return value

    @field_validator("payment_provider")
    @classmethod
    def require_keys(cls, value: str, info: ValidationInfo) -> str:
        if value == "stripe" and info.data.get("stripe_api_key", ...) is None:
            raise ValueError("PAYMENT_PROVIDER is stripe; set STRIPE_API_KEY and STRIPE_WEBHOOK_SECRET, or choose psp")
        return value
