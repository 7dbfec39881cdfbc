"""Access tokens of guests and accounts, and refresh tokens, which can be used once.

A refresh token that is used a second time may have been stolen, and it is unknown who the thief is. So its whole family
is revoked (RFC 9700, 4.14.2). But the first response may also have been lost, so that the owner retries. Therefore,
during `RETRY`, the family's latest token is exchanged again for the same successor, unless the successor has been used.
The price: a thief within that time gets the successor too, and is detected once both have exchanged it, `RETRY` apart.
The successor is derived from the old token, which the client has, and a seed, which the database has. Neither is enough
alone.
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

__all__ = ["Issuer", "Tokens", "refresh", "revoke", "start"]

RETRY = timedelta(seconds=10)
TRIES = 3


@dataclass(frozen=True, slots=True)
class Tokens:
    """`expires_in` is the lifetime of the access token, in seconds; a guest has no refresh token."""

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
        """Signs the token of a new guest. Nothing is stored: the holder of the token is the guest."""
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
    """Issues the first tokens after a sign-in, which start a new family.

    Raises Malformed (`invalid_grant`) if the password has been changed since the account was read.
    """
    family, token = uuid7(), secrets.token_urlsafe(32)
    async with db.transaction() as tx:
        if not await repository.add_family(tx, family, account, issuer.refresh):
            raise invalid_grant("The password has been changed")
        await repository.add_refresh_token(tx, _hash(token), family)
    return await issuer.for_account(account, token)


async def refresh(db: Database, issuer: Issuer, token: str) -> Tokens:
    """Exchanges a refresh token for new tokens. Raises Malformed (`invalid_grant`).

    A revocation is committed before Malformed is raised. The exchange is retried after a deadlock, which only a process
    of the previous release can cause: it locks the token before the family.
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
    """Returns the token's account and its successor; None if it is not valid. A reused token ends its family."""
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
        if not await repository.is_used(tx, _hash(successor)):  # the previous release uses tokens and leaves the seed
            return found.account, successor
    await repository.drop_family(tx, found.family_id)
    return None


async def revoke(db: Database, token: str) -> None:
    """Revokes all tokens from the sign-in of this refresh token, which may be used already; ignores an unknown one."""
    async with db.transaction() as tx:
        await repository.drop_family_of(tx, _hash(token))


def _successor(token: str, seed: bytes) -> str:
    return urlsafe_b64encode(hmac.digest(seed, token.encode(), "sha256")).rstrip(b"=").decode()


def _hash(token: str) -> bytes:
    """Returns a plain hash, which is enough for a random token: it cannot be guessed."""
    return hashlib.sha256(token.encode()).digest()
