"""Settings, from the environment."""

from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from chassis.settings import DatabaseUrl, HttpUrl, ServiceSettings
from identity.models import email_of

__all__ = ["FirstAccounts", "Settings"]


class Settings(ServiceSettings):
    """The settings of this service, besides those of `ServiceSettings`."""

    database_url: DatabaseUrl
    """`postgresql://user:password@host:port/identity`"""

    public_url: HttpUrl = "http://localhost:8080"
    """The shop's public address, which the OpenID configuration uses for its endpoints."""

    access_minutes: Annotated[int, Field(ge=1, le=60)] = 15
    """Minutes for which an access token is valid."""

    guest_days: Annotated[int, Field(ge=1, le=90)] = 30
    """Days for which a guest's token is valid."""

    refresh_days: Annotated[int, Field(ge=1, le=365)] = 30
    """Days for which a refresh token is valid."""

    key_days: Annotated[int, Field(ge=1)] = 90
    """Days for which a key signs before the next one takes over."""

    key_lead_minutes: Annotated[int, Field(ge=0)] = 15
    """Minutes for which a key is published before it signs; verifiers fetch the keys every 5 minutes."""

    password_concurrency: Annotated[int, Field(ge=1, le=64)] = 2
    """How many passwords are hashed at once; each takes a core for about 50 ms, and 64 MiB."""

    registrations_per_minute: Annotated[int, Field(ge=1)] = 30
    """The limit for one client address at one process."""

    database_pool_size: Annotated[int, Field(ge=1, le=50)] = 4
    """The most connections that a process holds."""


class FirstAccounts(ServiceSettings):
    """The settings of the first migration, which creates an administrator, and in development a shopper too."""

    admin_email: str = "admin@quayside.example"
    """The administrator's email address."""

    admin_password: SecretStr | None = None
    """The administrator's password. No default outside development: without it there is no administrator."""

    @field_validator("admin_email")
    @classmethod
    def as_accounts_have_it(cls, value: str) -> str:
        email = email_of(value)
        if email is None:
            raise ValueError("ADMIN_EMAIL must look like admin@example.com")
        return email
