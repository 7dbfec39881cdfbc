"""Bearer tokens, verified here against identity's keys: no call a request, no trust in a gateway.

A library's `decode` alone accepts expired tokens, and one that takes the algorithm from the token accepts `none`:
claims are validated and the algorithm pinned. `test_auth.py` forges both.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Self

from fastapi import Depends, Request
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from chassis.errors import Forbidden, Unauthenticated, Unavailable
from chassis.http import HttpClient

__all__ = ["Caller", "Principal", "TokenVerifier", "principal", "requires"]

log = logging.getLogger(__name__)

ALGORITHM = "ES256"
REFETCH_SECONDS = 10
REFRESH_SECONDS = 300
CACHE_SIZE = 8192
CACHE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: `sub` owns carts and orders; `token` can be passed on in the same shopper's name."""

    sub: str
    scopes: frozenset[str]
    token: str
    guest: bool = False


class TokenVerifier:
    """Verifies tokens with the keys at `url`, fetched in the background and again for a key it does not know.

    A verified token is remembered for a minute at the most, since one shopper's calls come in a row.
    """

    def __init__(self, url: str, *, issuer: str, audience: str) -> None:
        base, _, path = url.partition("/.well-known/")
        self._client = HttpClient(base, name="identity")
        self._path = f"/.well-known/{path}"
        self._keys: KeySet | None = None
        self._fetched = float("-inf")
        self._failing = False
        self._fetching = asyncio.Lock()
        self._claims = jwt.JWTClaimsRegistry(
            exp={"essential": True},
            sub={"essential": True},
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
        )
        self._cache: dict[str, tuple[float, Principal]] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        self._task = asyncio.create_task(self._refresh(), name="jwks")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1)
        await self._client.__aexit__()

    async def verify(self, token: str) -> Principal:
        """Raises Unauthenticated (bad token) or Unavailable (no keys yet)."""
        now = time.time()
        if (known := self._cache.get(token)) and known[0] > now:
            return known[1]
        claims = await self._decode(token)
        scopes = frozenset(str(claims.get("scope", "")).split())
        principal = Principal(claims["sub"], scopes, token, claims.get("kind") == "guest")
        if len(self._cache) >= CACHE_SIZE:
            for old in list(self._cache)[: CACHE_SIZE // 4]:
                del self._cache[old]
        self._cache[token] = (min(claims["exp"], now + CACHE_SECONDS), principal)
        return principal

    async def _decode(self, token: str) -> dict[str, Any]:
        if self._keys is None:
            await self._fetch()
        if self._keys is None:
            raise Unavailable(
                "keys-unavailable", "The signing keys have not been fetched yet", "Try again in a second."
            )
        try:
            decoded = jwt.decode(token, self._key_of, algorithms=[ALGORITHM])
        except UnknownKey:
            await self._fetch()
            try:
                decoded = jwt.decode(token, self._key_of, algorithms=[ALGORITHM])
            except (JoseError, ValueError, TypeError, LookupError) as error:
                raise _invalid(error) from error
        except (JoseError, ValueError, TypeError) as error:
            raise _invalid(error) from error
        try:
            self._claims.validate(decoded.claims)
        except (JoseError, ValueError, TypeError) as error:
            raise _invalid(error) from error
        if not isinstance(decoded.claims["sub"], str):
            raise _invalid(TypeError("sub is not a string"))
        return decoded.claims

    def _key_of(self, guest: Any) -> Any:
        assert self._keys is not None
        kid = guest.headers().get("kid")
        for key in self._keys.keys:
            if key.kid == kid:
                return key
        raise UnknownKey(f"no key {kid!r}")

    async def _fetch(self) -> None:
        """At most once in ten seconds while it succeeds; keeps the last good keys when it does not."""
        async with self._fetching:
            if time.monotonic() - self._fetched < (REFETCH_SECONDS if self._keys else 0.1):
                return
            self._fetched = time.monotonic()
            try:
                response = await self._client.get(self._path)
                if response.status == 200:
                    self._keys = KeySet.import_key_set(response.json())
                    self._failing = False
            except (Unavailable, JoseError, ValueError) as error:
                if not self._failing:
                    log.warning("fetching the signing keys failed, and is tried until it succeeds: %s", error)
                self._failing = True

    async def _refresh(self) -> None:
        while True:
            await self._fetch()
            await asyncio.sleep(REFRESH_SECONDS if self._keys else 0.1)


class UnknownKey(LookupError):
    """The token names a key that we have not seen."""


def _invalid(error: Exception) -> Unauthenticated:
    return Unauthenticated(
        "invalid-token", "The bearer token is not valid", f"{error}; get a new one from /api/identity."
    )


async def principal(request: Request) -> Principal:
    """The caller, from `Authorization: Bearer …`; the app's state holds the `verifier`."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated(
            "token-required", "A bearer token is required", "Get a guest's from POST /api/identity/guests."
        )
    verifier: TokenVerifier = request.app.state.verifier
    return await verifier.verify(token)


Caller = Annotated[Principal, Depends(principal)]


def requires(scope: str) -> Callable[[Caller], Awaitable[Principal]]:
    """A dependency: the caller, who must have this scope."""

    async def check(caller: Caller) -> Principal:
        if scope not in caller.scopes:
            raise Forbidden("scope-required", f"The scope {scope} is required", "Log in with an account that has it.")
        return caller

    return check
