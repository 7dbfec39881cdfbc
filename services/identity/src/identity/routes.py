"""The HTTP routes of identity."""

import math
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from chassis.app import parts
from chassis.auth import Authenticated
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


@dataclass(frozen=True, slots=True)
class Parts:
    """The objects that the routes need."""

    db: Database
    issuer: tokens.Issuer
    passwords: Passwords
    registrations: accounts.Window
    public_url: str


async def patience(request: Request) -> Patience:
    return Patience(deadline.get() or math.inf, request.is_disconnected)


Given = Annotated[Parts, Depends(parts(Parts))]
Waiting = Annotated[Patience, Depends(patience)]


@router.post("/api/identity/guests", status_code=201, response_model_exclude_none=True)
async def guest(given: Given, response: Response) -> TokenBody:
    """Issues a token to a guest, who needs no account to fill a cart and to order."""
    return token_body(await given.issuer.for_guest(), response)


@router.post("/api/identity/accounts", status_code=201)
async def register(body: RegisterBody, given: Given, request: Request, client: Waiting) -> AccountBody:
    """Registers an account."""
    given.registrations.enter(origin(request))
    account = await accounts.register(
        given.db, given.passwords, body.email, body.password.get_secret_value(), body.name, client
    )
    return account_body(account)


async def form(request: Request) -> TokenForm:
    return token_form(request.headers.get("content-type", ""), await request.body())


TOKEN_FORM = {"requestBody": {"required": True, "content": {FORM: {"schema": TokenForm.model_json_schema()}}}}


@router.post("/api/identity/token", response_model_exclude_none=True, openapi_extra=TOKEN_FORM)
async def token(
    form: Annotated[TokenForm, Depends(form)], given: Given, client: Waiting, response: Response
) -> TokenBody:
    """Issues tokens by OAuth 2 (RFC 6749).

    The grant type is `password`, with a username and a password, or `refresh_token`, with the latest refresh token.
    """
    if form.grant_type == "password" and form.username and form.password:
        account = await accounts.sign_in(given.db, given.passwords, form.username, form.password, client)
        return token_body(await tokens.start(given.db, given.issuer, account), response)
    if form.grant_type == "refresh_token" and form.refresh_token:
        return token_body(await tokens.refresh(given.db, given.issuer, form.refresh_token), response)
    if form.grant_type in ("", "password", "refresh_token"):
        raise invalid_request("A parameter is missing", "Send all parameters of the grant type.")
    raise Malformed(
        "unsupported-grant-type",
        "The grant type is not supported",
        "Use grant_type=password or grant_type=refresh_token.",
        error="unsupported_grant_type",
    )


@router.get("/api/identity/me")
async def me(principal: Authenticated, given: Given) -> AccountBody:
    """Returns the principal's account."""
    async with given.db.connection() as connection:
        account = None if principal.guest else await repository.account_by_id(connection, UUID(principal.sub))
    if account is None:
        raise NotFound("no-account", "The principal has no account", "Register one by POST /api/identity/accounts.")
    return account_body(account)


@router.get("/.well-known/jwks.json")
async def jwks(given: Given, response: Response) -> dict[str, Any]:
    """Returns the public keys that verify access tokens, as a JWK Set (RFC 7517)."""
    response.headers["Cache-Control"] = "public, max-age=60"
    return await given.issuer.keyring.published()


@router.get("/.well-known/openid-configuration")
async def openid_configuration(given: Given) -> dict[str, Any]:
    """Returns the provider's metadata (OpenID Connect Discovery 1.0)."""
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
    """Returns the address of the client, by the edge's X-Forwarded-For, which uvicorn trusts.

    Of an IPv6 address it returns the /64 network, since a client has a whole one.
    """
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
