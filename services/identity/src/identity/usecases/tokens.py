"""Tokens: a guest's, an account's, and refresh tokens that are good once.

A refresh token that comes a second time has been copied, and nobody can tell by whom: its whole family is revoked
(RFC 9700, 4.14.2).
"""

import hashlib
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from chassis.db import Connection, Database
from chassis.ids import uuid7
from identity import repository
from identity.models import Account
from identity.usecases.accounts import invalid_grant
from identity.usecases.keys import Keyring

__all__ = ["Issuer", "Tokens", "refresh", "start"]


@dataclass(frozen=True, slots=True)
class Tokens:
    """`expires_in` is the access token's, in seconds; a guest has no refresh token."""

    access_token: str
    expires_in: int
    scope: str = ""
    refresh_token: str | None = None


@dataclass(frozen=True, slots=True)
class Issuer:
    """Signs access tokens (JWT, ES256): iss, aud, sub, iat, exp, scope, kind."""

    keyring: Keyring
    issuer: str
    audience: str
    access: timedelta
    guest: timedelta
    refresh: timedelta

    async def for_guest(self) -> Tokens:
        """Needs no row: a guest is whoever holds the token."""
        return await self._tokens(str(uuid7()), "guest", "", self.guest)

    async def for_account(self, account: Account, refresh_token: str) -> Tokens:
        scope = " ".join(sorted(account.scopes))
        return await self._tokens(str(account.id), "account", scope, self.access, refresh_token)

    async def _tokens(
        self, sub: str, kind: str, scope: str, life: timedelta, refresh_token: str | None = None
    ) -> Tokens:
        now, seconds = int(time.time()), int(life.total_seconds())
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": sub,
            "iat": now,
            "exp": now + seconds,
            "scope": scope,
            "kind": kind,
        }
        return Tokens(await self.keyring.sign(claims), seconds, scope, refresh_token)


async def start(db: Database, issuer: Issuer, account: Account) -> Tokens:
    """The first tokens after signing in: a new family."""
    async with db.transaction() as tx:
        family = uuid7()
        await repository.add_family(tx, family, account.id, datetime.now(UTC) + issuer.refresh)
        token = await _new_token(tx, family)
    return await issuer.for_account(account, token)


async def refresh(db: Database, issuer: Issuer, token: str) -> Tokens:
    """New tokens for a refresh token, which is then used up. Raises Malformed (`invalid_grant`)."""
    async with db.transaction() as tx:
        found = await repository.use_refresh_token(tx, _hash(token))
        if found is not None and found.used:
            await repository.drop_family(tx, found.family_id)
        elif found is not None:
            fresh = await _new_token(tx, found.family_id)
    if found is None or found.used:
        raise invalid_grant("The refresh token is not valid")
    return await issuer.for_account(found.account, fresh)


async def _new_token(tx: Connection, family: UUID) -> str:
    token = secrets.token_urlsafe(32)
    await repository.add_refresh_token(tx, _hash(token), family)
    return token


def _hash(token: str) -> bytes:
    """Of a random token a plain hash is enough: there is nothing to guess."""
    return hashlib.sha256(token.encode()).digest()
