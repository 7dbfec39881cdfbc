"""HTTP → use case → schema."""

import math
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from chassis.auth import Caller
from chassis.db import Database
from chassis.errors import Malformed, NotFound
from chassis.waiting import deadline
from identity import repository
from identity.models import Account
from identity.schemas import FORM, AccountBody, RegisterBody, TokenBody, TokenForm, invalid_request, token_form
from identity.usecases import accounts, tokens
from identity.usecases.keys import ALGORITHM
from identity.usecases.passwords import Passwords, Patience

__all__ = ["Parts", "router"]

router = APIRouter(tags=["identity"])


@dataclass(frozen=True)
class Parts:
    """What `main` makes once and the routes need."""

    db: Database
    issuer: tokens.Issuer
    passwords: Passwords
    registrations: accounts.Window
    public_url: str


async def parts(request: Request) -> Parts:
    found: Parts = request.app.state.parts
    return found


async def patience(request: Request) -> Patience:
    return Patience(deadline.get() or math.inf, request.is_disconnected)


Given = Annotated[Parts, Depends(parts)]
Waiting = Annotated[Patience, Depends(patience)]


@router.post("/api/identity/guests", status_code=201, response_model_exclude_none=True)
async def guest(given: Given, response: Response) -> TokenBody:
    """A guest's token, good for a cart and for orders."""
    return token_body(await given.issuer.for_guest(), response)


@router.post("/api/identity/accounts", status_code=201)
async def register(body: RegisterBody, given: Given, request: Request, caller: Waiting) -> AccountBody:
    given.registrations.enter(origin(request))
    account = await accounts.register(
        given.db, given.passwords, body.email, body.password.get_secret_value(), body.name, caller
    )
    return account_body(account)


async def form(request: Request) -> TokenForm:
    return token_form(request.headers.get("content-type", ""), await request.body())


TOKEN_FORM = {"requestBody": {"required": True, "content": {FORM: {"schema": TokenForm.model_json_schema()}}}}


@router.post("/api/identity/token", response_model_exclude_none=True, openapi_extra=TOKEN_FORM)
async def token(
    form: Annotated[TokenForm, Depends(form)], given: Given, caller: Waiting, response: Response
) -> TokenBody:
    """OAuth 2 (RFC 6749): `password` with username and password, or `refresh_token` with the last one, once."""
    if form.grant_type == "password" and form.username and form.password:
        account = await accounts.sign_in(given.db, given.passwords, form.username, form.password, caller)
        return token_body(await tokens.start(given.db, given.issuer, account), response)
    if form.grant_type == "refresh_token" and form.refresh_token:
        return token_body(await tokens.refresh(given.db, given.issuer, form.refresh_token), response)
    if form.grant_type in ("", "password", "refresh_token"):
        raise invalid_request("A parameter is missing", "See the grant type.")
    raise Malformed(
        "unsupported-grant-type",
        "The grant type is not known",
        "Use grant_type=password or refresh_token, form-encoded.",
        error="unsupported_grant_type",
    )


@router.get("/api/identity/me")
async def me(caller: Caller, given: Given) -> AccountBody:
    async with given.db.connection() as connection:
        account = None if caller.guest else await repository.account_by_id(connection, UUID(caller.sub))
    if account is None:
        raise NotFound("no-account", "A guest has no account", "POST /api/identity/accounts makes one.")
    return account_body(account)


@router.get("/.well-known/jwks.json")
async def jwks(given: Given, response: Response) -> dict[str, Any]:
    response.headers["Cache-Control"] = "public, max-age=60"
    return await given.issuer.keyring.published()


@router.get("/.well-known/openid-configuration")
async def openid_configuration(given: Given) -> dict[str, Any]:
    url = given.public_url.rstrip("/")
    return {
        "issuer": given.issuer.issuer,
        "token_endpoint": f"{url}/api/identity/token",
        "userinfo_endpoint": f"{url}/api/identity/me",
        "jwks_uri": f"{url}/.well-known/jwks.json",
        "grant_types_supported": ["password", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "scopes_supported": ["catalog:write", "orders:manage"],
    }


def origin(request: Request) -> str:
    """Whom the edge saw (uvicorn believes its X-Forwarded-For): an address, or the /64 that a caller of IPv6 has."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    whole = address.version == 4 or address.ipv4_mapped
    return host if whole else f"{int(address) >> 64:x}::/64"


def token_body(made: tokens.Tokens, response: Response) -> TokenBody:
    response.headers["Cache-Control"] = "no-store"
    return TokenBody(**asdict(made))


def account_body(account: Account) -> AccountBody:
    return AccountBody(id=account.id, email=account.email, name=account.name)
