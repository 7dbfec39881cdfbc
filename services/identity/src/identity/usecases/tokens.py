"""Tokens: a guest's, an account's, and refresh tokens that are good once.

A refresh token that comes a second time has been copied, and nobody can tell by whom: its whole family is revoked
(RFC 9700, 4.14.2). Or else the reply to the first time was lost, and its owner asks again. So for `RETRY` the family's
last token is answered once more, with the same successor, unless the successor has been used. The price: a thief who
is that quick gets the successor too, and is found out once the two exchange it `RETRY` apart. The successor is made of
the old token, which the caller has, and a seed, which the database has: neither alone makes it.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from chassis.db import Connection, Database
from chassis.ids import uuid7
from identity import repository
from identity.models import Account
from identity.usecases.accounts import invalid_grant
from identity.usecases.keys import Keyring

__all__ = ["Issuer", "Tokens", "refresh", "start"]

RETRY = timedelta(seconds=10)
TRIES = 3


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
        now, seconds = int((await self.keyring.now()).timestamp()), int(life.total_seconds())
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
    family, token = uuid7(), secrets.token_urlsafe(32)
    async with db.transaction() as tx:
        await repository.add_family(tx, family, account.id, issuer.refresh)
        await repository.add_refresh_token(tx, _hash(token), family)
    return await issuer.for_account(account, token)


async def refresh(db: Database, issuer: Issuer, token: str) -> Tokens:
    """New tokens for a refresh token, which is then used up. Raises Malformed (`invalid_grant`).

    A revocation is committed before that is raised, and tried again after a deadlock, which takes a process of the
    release before (it locks the token before the family).
    """
    for again in reversed(range(TRIES)):
        try:
            async with db.transaction() as tx:
                exchanged = await _exchange(tx, token)
            break
        except asyncpg.TransactionRollbackError:
            if not again:
                raise
    if exchanged is None:
        raise invalid_grant("The refresh token is not valid")
    return await issuer.for_account(*exchanged)


async def _exchange(tx: Connection, token: str) -> tuple[Account, str] | None:
    """Whose token it is, and its successor. None where there is none: a copied token has then ended its family."""
    hash = _hash(token)
    found = await repository.lock_refresh(tx, hash)
    if found is None:
        return None
    if not found.used:
        seed = secrets.token_bytes(32)
        successor = _successor(token, seed)
        await repository.use_refresh_token(tx, found.family_id, hash, seed, RETRY)
        await repository.add_refresh_token(tx, _hash(successor), found.family_id)
        return found.account, successor
    if found.seed is not None:
        successor = _successor(token, found.seed)
        if not await repository.is_used(tx, _hash(successor)):  # the release before uses tokens, and leaves the seed
            return found.account, successor
    await repository.drop_family(tx, found.family_id)
    return None


def _successor(token: str, seed: bytes) -> str:
    return urlsafe_b64encode(hmac.digest(seed, token.encode(), "sha256")).rstrip(b"=").decode()


def _hash(token: str) -> bytes:
    """Of a random token a plain hash is enough: there is nothing to guess."""
    return hashlib.sha256(token.encode()).digest()
