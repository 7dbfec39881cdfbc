"""Settings from the environment: one URL per store, secrets from files, no placeholder in production.

A default password in production is the most common security hole of a sample shop, and a stack trace is a poor way to
report a missing variable. `test_settings.py` shows that a service ends with one line per problem instead.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

__all__ = [
    "BrokerUrl",
    "DatabaseUrl",
    "HttpUrl",
    "JwksUrl",
    "Role",
    "SecretStr",
    "ServiceSettings",
    "ValkeyUrl",
    "problems",
]

Role = Literal["all", "api", "worker"]
PLACEHOLDERS = frozenset({"", "change-me", "changeme", "development", "guest", "password", "postgres", "secret"})


def _url(*schemes: str, like: str, path: str = "") -> AfterValidator:
    """Requires a URL with one of the schemes, a host, and a path that contains `path`. No error repeats the value."""

    def check(value: str | SecretStr, info: ValidationInfo) -> str | SecretStr:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        try:
            url = urlsplit(text)
            good = url.scheme in schemes and url.hostname and url.port != 0 and path in url.path
        except ValueError:  # the port is not a number, often because of the password before it
            good = False
        if not good:
            hint = "; percent-encode special characters in the password" if isinstance(value, SecretStr) else ""
            raise ValueError(f"{_variable(info.field_name)} must look like {like}{hint}")
        return value

    return AfterValidator(check)


DatabaseUrl = Annotated[SecretStr, _url("postgresql", like="postgresql://user:password@host:5432/database")]
BrokerUrl = Annotated[SecretStr, _url("amqp", "amqps", like="amqp://user:password@host:5672/vhost")]
ValkeyUrl = Annotated[SecretStr, _url("redis", "rediss", like="redis://:password@host:6379/0")]
HttpUrl = Annotated[str, _url("http", "https", like="http://host:8000")]
JwksUrl = Annotated[str, _url("http", "https", like="http://host:8000/.well-known/jwks.json", path="/.well-known/")]


@dataclass(frozen=True)
class Unusable:
    """Stands for a value that could not be read, so that this problem is reported together with all others."""

    why: str


class FileSource(PydanticBaseSettingsSource):
    """Reads `X` from the file that `X_FILE` names, as container platforms mount secrets.

    Setting both is refused, because one of them would be ignored silently. An empty file counts as not set, unless the
    setting is required.
    """

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        name = _variable(field_name)
        path = os.environ.get(f"{name}_FILE")
        value = self._read(name, path) if path else None
        if value == "":
            value = Unusable(f"{name}_FILE: {path} is empty; write the value into it") if field.is_required() else None
        return value, field_name, False

    def _read(self, name: str, path: str) -> str | Unusable:
        if os.environ.get(name):
            return Unusable(f"{name} and {name}_FILE are both set; keep one of them")
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            return Unusable(f"{name}_FILE: {path} cannot be read ({reason}); mount it readable, or correct the path")
        except UnicodeDecodeError:
            return Unusable(f"{name}_FILE: {path} is not text in UTF-8")

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in values.items() if value is not None}


class ServiceSettings(BaseSettings):
    """The settings that every service takes from its environment. A service adds its own in a subclass.

    Secrets, and URLs with a password, are `SecretStr`; outside development, placeholders in them are refused. An empty
    variable counts as not set.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    environment: Literal["development", "production"] = "production"
    """`development` permits placeholder passwords."""
    role: Role = "all"
    """`api`: HTTP only; `worker`: messages and jobs only."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe messages that are logged."""
    log_sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    """The share of successful requests that are logged. Of failed requests, up to 10 a second are logged."""

    issuer: str = "quayside"
    """The `iss` that a token must carry."""
    audience: str = "quayside"
    """The `aud` that a token must carry."""

    otel_exporter_otlp_endpoint: HttpUrl | None = None
    """Where traces are sent (OTLP over HTTP); without it there is no tracing."""
    trace_sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The share of the traces that are recorded."""

    @classmethod
    def load(cls, service: str) -> Self:
        """Returns the settings of this process, or ends it with a line on stderr for each problem."""
        try:
            return cls()
        except ValidationError as error:
            raise SystemExit("\n".join(f"{service}: {problem}" for problem in problems(error))) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, FileSource(settings_cls), env_settings

    @field_validator("*", mode="before")
    @classmethod
    def refuse_unusable(cls, value: Any) -> Any:
        if isinstance(value, Unusable):
            raise ValueError(value.why)
        return value

    @field_validator("environment", "role", "log_level", mode="before")
    @classmethod
    def take_any_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("*")
    @classmethod
    def refuse_placeholder(cls, value: Any, info: ValidationInfo) -> Any:
        production = info.data.get("environment") == "production"
        if production and isinstance(value, SecretStr) and _is_placeholder(value.get_secret_value()):
            name = _variable(info.field_name)
            raise ValueError(
                f"{name} holds a placeholder; set a secret of your own, or {name}_FILE, or ENVIRONMENT=development"
            )
        return value


def problems(error: ValidationError) -> Iterator[str]:
    """Yields a line for each problem: the variable, what is wrong, and what to do. It never contains the value."""
    for found in error.errors(include_url=False, include_input=False):
        yield _problem(found)


def _problem(found: ErrorDetails) -> str:
    name = _variable(str(found["loc"][0]))
    match found["type"]:
        case "missing":
            return f"{name} is not set; set it, or {name}_FILE"
        case "value_error":  # raised here, with a whole sentence
            return str(found["ctx"]["error"])
        case "too_short":
            return f"{name} must have at least {found['ctx']['min_length']} characters"
    _, _, rule = found["msg"].partition(" should ")
    return f"{name} must {rule.partition(', unable')[0]}" if rule else f"{name}: {found['msg']}"


def _is_placeholder(secret: str) -> bool:
    password: str | None = secret
    if "://" in secret:
        password = urlsplit(secret).password  # a URL without a password uses another kind of authentication
    if password is None:
        return False
    password = unquote(password)
    return password.lower() in PLACEHOLDERS or password.startswith("quayside-")


def _variable(field: str | None) -> str:
    return (field or "").upper()
