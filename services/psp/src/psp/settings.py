"""What the provider takes from its environment."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import AnyHttpUrl, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """A field per environment variable; `PSP_WEBHOOK_SECRET_FILE` may stand for the secret."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    psp_database: Path
    """SQLite file of the ledger; made when missing."""

    webhook_url: AnyHttpUrl
    """Where results are announced, such as `http://127.0.0.1:8004/api/payments/webhooks/psp`."""

    psp_webhook_secret: Annotated[SecretStr, Field(min_length=16)]
    """Signs webhooks; the receiver holds the same."""

    slow_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30.0
    """How long a slow answer takes: that of `tok_slow`, and every answer under the fault `slow`."""

    @model_validator(mode="before")
    @classmethod
    def read_secret_file(cls, values: dict[str, Any]) -> dict[str, Any]:
        path = os.environ.get("PSP_WEBHOOK_SECRET_FILE")
        if path and "psp_webhook_secret" not in values:
            return {**values, "psp_webhook_secret": Path(path).read_text().strip()}
        return values
