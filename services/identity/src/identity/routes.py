"""The HTTP routes of identity."""

import math
import re
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from chassis.admission import Kind
from chassis.app import parts
from chassis.auth import Authenticated, Principal, requires
from chassis.db import Database
from chassis.errors import Malformed, NotFound
from chassis.queries import once
from chassis.waiting import deadline
from identity import repository
from identity.models import Account, address_of
from identity.schemas import (
    FORM,
    AccountBody,
    AccountsBody,
    AccountsQuery,
    PasswordBody,
    RegisterBody,
    RevocationForm,
    TokenBody,
    TokenForm,
    form_of,
    invalid_request,
)
from identity.usecases import accounts, tokens
from identity.usecases.keys import ALGORITHM
from identity.usecases.passwords import Passwords, Patience

__all__ = ["KINDS", "Parts", "admin", "router"]

router = APIRouter(tags=["identity"])
admin = APIRouter(tags=["admin"])

KINDS = (Kind("buying", 64, re.compile(r"POST /api/identity/guests"), from_edge=True),)

Manager = Annotated[Principal, Depends(requires("orders:manage"))]


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


@router.post("/api/identity/guests", summary="Begin a guest", status_code=201, response_model_exclude_none=True)
async def guest(given: Given, response: Response) -> TokenBody:
    """Issues a token to a guest, who needs no account to fill a cart and to order."""
    return token_body(await given.issuer.for_guest(), response)


@router.post("/api/identity/accounts", summary="Create an account", status_code=201)
async def register(body: RegisterBody, given: Given, request: Request, client: Waiting) -> AccountBody:
    """Registers an account."""
    given.registrations.enter(origin(request))
    account = await accounts.register(
        given.db, given.passwords, body.email, body.password.get_secret_value(), body.name, client
    )
    return account_body(account)


async def token_form(request: Request) -> TokenForm:
    return form_of(TokenForm, request.headers.get("content-type", ""), await request.body())


async def revocation_form(request: Request) -> RevocationForm:
    return form_of(RevocationForm, request.headers.get("content-type", ""), await request.body())


def documented(form: type[TokenForm | RevocationForm]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {FORM: {"schema": form.model_json_schema()}}}}


@router.post(
    "/api/identity/token",
    summary="Log in, or renew tokens",
    response_model_exclude_none=True,
    openapi_extra=documented(TokenForm),
)
async def token(
    form: Annotated[TokenForm, Depends(token_form)], given: Given, client: Waiting, response: Response
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


@router.post("/api/identity/revoke", summary="Revoke a token", openapi_extra=documented(RevocationForm))
async def revoke(form: Annotated[RevocationForm, Depends(revocation_form)], given: Given) -> None:
    """Revokes a refresh token, and all tokens from the same sign-in (RFC 7009). An unknown token is a success too.

    Access tokens are not stored, so they remain valid until they expire.
    """
    if not form.token:
        raise invalid_request("The token is missing", "Send the refresh token as the parameter token.")
    await tokens.revoke(given.db, form.token)


@router.post("/api/identity/password", summary="Change the password", response_model_exclude_none=True)
async def change_password(
    body: PasswordBody, principal: Authenticated, given: Given, client: Waiting, response: Response
) -> TokenBody:
    """Changes the password of the principal's account, revokes all its refresh tokens, and issues new tokens."""
    if principal.guest:
        raise no_account()
    account = await accounts.change_password(
        given.db,
        given.passwords,
        UUID(principal.sub),
        body.current_password.get_secret_value(),
        body.new_password.get_secret_value(),
        client,
    )
    if account is None:
        raise no_account()
    return token_body(await tokens.start(given.db, given.issuer, account), response)


@router.get("/api/identity/me", summary="Read your account")
async def me(principal: Authenticated, given: Given) -> AccountBody:
    """Returns the principal's account."""
    async with given.db.connection() as connection:
        account = None if principal.guest else await repository.account_by_id(connection, UUID(principal.sub))
    if account is None:
        raise no_account()
    return account_body(account)


@admin.get("/api/admin/accounts")
async def find(request: Request, given: Given, _: Manager, query: Annotated[AccountsQuery, Query()]) -> AccountsBody:
    """Finds the accounts with these IDs, or the one with this address; the list is empty if there is none."""
    once(request, "id")
    async with given.db.connection() as connection:
        if query.email is None:
            found = await repository.accounts_by_id(connection, query.id)
        else:
            one = await repository.account_by_email(connection, address_of(query.email))
            found = [one] if one else []
    return AccountsBody(items=[account_body(account) for account in found])


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
        "revocation_endpoint": f"{url}/api/identity/revoke",
        "userinfo_endpoint": f"{url}/api/identity/me",
        "jwks_uri": f"{url}/.well-known/jwks.json",
        "grant_types_supported": ["password", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "scopes_supported": ["catalog:write", "orders:manage"],
    }


def no_account() -> NotFound:
    return NotFound("no-account", "The principal has no account", "Register one by POST /api/identity/accounts.")


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
