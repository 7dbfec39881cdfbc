"""Settings from the environment: one URL per backing service, secrets from files, no placeholder in production.

A default password that reaches production is the commonest hole in a sample shop; `test_settings.py` shows
that a service refuses to start with one.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

__all__ = ["Role", "SecretStr", "ServiceSettings"]

Role = Literal["all", "api", "worker"]
PLACEHOLDERS = frozenset({"", "change-me", "changeme", "development", "guest", "password", "postgres", "secret"})


class FileSource(PydanticBaseSettingsSource):
    """`X_FILE=/run/secrets/x` gives `X`, as container platforms mount secrets."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{field_name.upper()}_FILE")
        return (Path(path).read_text().strip() if path else None), field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in values.items() if value is not None}


class ServiceSettings(BaseSettings):
    """What every service takes from its environment. A service adds its own knobs in a subclass.

    URLs that carry a password, and secrets, are `SecretStr`. Outside development a placeholder among them is refused.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    environment: Literal["development", "production"] = "production"
    role: Role = "all"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of successful requests that get a log line; failures always do."""

    issuer: str = "quayside"
    audience: str = "quayside"

    otel_exporter_otlp_endpoint: str | None = None
    """Traces are made only when this is set (OTLP over HTTP)."""
    trace_sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        *args: PydanticBaseSettingsSource,
        **sources: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        given = args or tuple(sources[k] for k in ("init_settings", "env_settings"))
        return (*given[:2], FileSource(settings_cls))

    @model_validator(mode="after")
    def refuse_placeholders(self) -> Self:
        if self.environment == "development":
            return self
        for name in type(self).model_fields:
            value = getattr(self, name)
            if not isinstance(value, SecretStr):
                continue
            secret: str | None = value.get_secret_value()
            if secret and "://" in secret:
                secret = urlsplit(secret).password  # a URL without one relies on something else
            if secret is None:
                continue
            secret = unquote(secret)
            if secret.lower() in PLACEHOLDERS or secret.startswith("quayside-"):
                raise ValueError(
                    f"{name.upper()} holds a placeholder; set a secret of your own, "
                    f"or {name.upper()}_FILE, or ENVIRONMENT=development"
                )
        return self
