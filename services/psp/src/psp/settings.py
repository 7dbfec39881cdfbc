"""Settings, from the environment."""

import os
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AnyHttpUrl, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """One field per environment variable. `PSP_WEBHOOK_SECRET_FILE` may replace the secret. Empty counts as not set."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    psp_database: Path
    """SQLite file of the ledger; created when missing."""

    webhook_url: AnyHttpUrl
    """The URL to which webhooks are sent, such as `http://127.0.0.1:8004/api/payments/webhooks/psp`."""

    psp_webhook_secret: Annotated[SecretStr, Field(min_length=16)]
    """The secret that signs webhooks. The receiver has the same one."""

    slow_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30.0
    """How long the response to `tok_slow` takes, and every response during the fault `slow`."""

    @classmethod
    def load(cls) -> Self:
        """Returns the settings of this process, or ends it with a line on stderr for each problem."""
        try:
            return cls()
        except ValidationError as error:
            raise SystemExit("\n".join(f"psp: {_problem(found)}" for found in error.errors())) from None

    @model_validator(mode="before")
    @classmethod
    def find_secret_file(cls, values: dict[str, Any]) -> dict[str, Any]:
        path = os.environ.get("PSP_WEBHOOK_SECRET_FILE")
        if path and ("psp_webhook_secret" not in values or os.environ.get("PSP_WEBHOOK_SECRET")):
            return {**values, "psp_webhook_secret": Path(path)}
        return values

    @field_validator("psp_webhook_secret", mode="before")
    @classmethod
    def read_secret_file(cls, value: Any) -> Any:
        if not isinstance(value, Path):
            return value
        if os.environ.get("PSP_WEBHOOK_SECRET"):
            raise ValueError("PSP_WEBHOOK_SECRET and PSP_WEBHOOK_SECRET_FILE are both set; keep one of them")
        try:
            return value.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = (getattr(error, "strerror", None) or "it is not text in UTF-8").lower()
            raise ValueError(
                f"PSP_WEBHOOK_SECRET_FILE: {value} cannot be read ({reason}); mount it readable, or correct the path"
            ) from error


def _problem(found: ErrorDetails) -> str:
    """Names the variable, the problem and the remedy. It repeats no value."""
    name = str(found["loc"][0]).upper()
    match found["type"]:
        case "missing":
            return f"{name} is not set"
        case "value_error":  # raised here, with a whole sentence
            return str(found["ctx"]["error"])
        case "too_short":
            return f"{name} must have at least {found['ctx']['min_length']} characters"
        case "url_parsing" | "url_scheme":
            return f"{name} must look like http://payment:8000/api/payments/webhooks/psp"
    _, _, rule = found["msg"].partition(" should ")
    return f"{name} must {rule.partition(', unable')[0]}" if rule else f"{name}: {found['msg']}"
