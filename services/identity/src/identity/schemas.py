"""HTTP bodies."""

from typing import Annotated, Literal, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from chassis.errors import Malformed
from chassis.queries import CanonicalId, Query
from chassis.schemas import Body, TextLine
from identity.models import MAX_EMAIL, MAX_PASSWORD, email_of, password_of

__all__ = [
    "FORM",
    "AccountBody",
    "AccountsBody",
    "AccountsQuery",
    "PasswordBody",
    "RegisterBody",
    "RevocationForm",
    "TokenBody",
    "TokenForm",
    "form_of",
    "invalid_request",
]

FORM = "application/x-www-form-urlencoded"
MIN_PASSWORD = 8


def _email(value: str) -> str:
    email = email_of(value)
    if email is None:
        raise ValueError("must be an email address")
    return email


def _password(value: SecretStr) -> SecretStr:
    password = password_of(value.get_secret_value())
    if password is None or len(password) < MIN_PASSWORD:
        raise ValueError(f"must have {MIN_PASSWORD} to {MAX_PASSWORD} characters and no control characters")
    return SecretStr(password)


Password = Annotated[
    SecretStr,
    AfterValidator(_password),
    Field(json_schema_extra={"minLength": MIN_PASSWORD, "maxLength": MAX_PASSWORD}),
]


class RegisterBody(Body):
    email: Annotated[str, Field(max_length=MAX_EMAIL), AfterValidator(_email)]
    password: Password
    name: Annotated[TextLine, Field(min_length=1, max_length=100)]


class PasswordBody(Body):
    current_password: Annotated[SecretStr, Field(max_length=MAX_PASSWORD * 4)]
    new_password: Password


class TokenForm(BaseModel):
    """A token request (RFC 6749, 4.3.2 and 6). A parameter that is left out is empty."""

    model_config = ConfigDict(json_schema_extra={"required": ["grant_type"]})

    grant_type: Annotated[str, Field(json_schema_extra={"enum": ["password", "refresh_token"]})] = ""
    username: str = ""
    password: str = ""
    refresh_token: str = ""


class RevocationForm(BaseModel):
    """A revocation request (RFC 7009, 2.1). `token_type_hint` is ignored."""

    model_config = ConfigDict(json_schema_extra={"required": ["token"]})

    token: str = ""


F = TypeVar("F", TokenForm, RevocationForm)


def form_of(kind: type[F], content_type: str, raw: bytes) -> F:
    """Parses a form. Raises Malformed for another content type or encoding, and for a repeated parameter (3.2)."""
    if content_type.partition(";")[0].strip().lower() != FORM:
        raise invalid_request("The content type is not supported", f"Send the form as {FORM}.")
    try:
        pairs = parse_qsl(raw.decode(), errors="strict", max_num_fields=20)
    except ValueError:
        raise invalid_request("The form is malformed", "Send at most 20 parameters, in UTF-8.") from None
    form = dict(pairs)
    if len(form) < len(pairs):
        raise invalid_request("A parameter is repeated", "Send each parameter once.")
    return kind.model_validate(form)


def invalid_request(title: str, detail: str) -> Malformed:
    """A problem with the member `error` of OAuth 2 (RFC 6749, 5.2)."""
    return Malformed("invalid-request", title, detail, error="invalid_request")


class AccountBody(BaseModel):
    id: UUID
    email: str
    name: str


class AccountsQuery(Query):
    """Finds one account by its address, or those with these IDs."""

    email: Annotated[TextLine, Field(max_length=MAX_EMAIL)] | None = None
    id: list[CanonicalId] = Field(default_factory=list, max_length=100)

    @model_validator(mode="after")
    def _one_of_both(self) -> "AccountsQuery":
        if (self.email is None) == (not self.id):
            raise ValueError("send either email or id")
        return self


class AccountsBody(BaseModel):
    items: list[AccountBody]


class TokenBody(BaseModel):
    """A token response (RFC 6749, 5.1). `expires_in` is in seconds; a guest gets no refresh token."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int
    scope: str
    refresh_token: str | None = None
