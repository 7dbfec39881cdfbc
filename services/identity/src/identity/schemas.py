"""HTTP bodies of identity."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from chassis.schemas import Body, Text
from identity.models import email_of
from identity.usecases.accounts import MAX_PASSWORD

__all__ = ["AccountBody", "RegisterBody", "TokenBody"]


def _email(value: str) -> str:
    email = email_of(value)
    if email is None:
        raise ValueError("must be an e-mail address")
    return email


def _encodable(value: SecretStr) -> SecretStr:
    """Half a surrogate pair is no text, and cannot be hashed."""
    try:
        value.get_secret_value().encode()
    except UnicodeEncodeError:
        raise ValueError("must be Unicode text") from None
    return value


class RegisterBody(Body):
    email: Annotated[str, Field(max_length=254), AfterValidator(_email)]
    password: Annotated[SecretStr, Field(min_length=8, max_length=MAX_PASSWORD), AfterValidator(_encodable)]
    name: Annotated[Text, Field(min_length=1, max_length=100)]


class AccountBody(BaseModel):
    id: UUID
    email: str
    name: str


class TokenBody(BaseModel):
    """RFC 6749, 5.1. `expires_in` is in seconds; a guest gets no refresh token."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int
    scope: str
    refresh_token: str | None = None
