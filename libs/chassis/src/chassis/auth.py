"""Verifies bearer tokens in each service, with identity's cached keys: no call per request, and no trust in the edge.

`decode` does not check the expiry, and a verifier that reads the algorithm from the token accepts `none`. Here claims
are validated and the algorithm is fixed. `test_auth.py` forges both kinds of token.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, Self

from fastapi import Depends, Request
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import KeySet
from joserfc.jwt import ClaimsOption

from chassis import metrics
from chassis.errors import Forbidden, Unauthenticated, Unavailable
from chassis.http import HttpClient
from chassis.outage import Outage
from chassis.waiting import shared, wait_for

__all__ = ["Authenticated", "Claims", "Principal", "TokenVerifier", "Verifier", "authenticate", "requires"]

log = logging.getLogger(__name__)

ALGORITHM = "ES256"
REFETCH_SECONDS = 10
REFRESH_SECONDS = 300
CACHE_SIZE = 8192
CACHE_SECONDS = 60
CLOCK_LEEWAY = 60
"""Seconds by which our clock may be behind `nbf`, which identity does not issue. `iat` is not compared: with a clock
that is behind, it would refuse every new token."""
EXPIRY_LEEWAY = 5
"""Seconds for which an expired token is still accepted; short, so that it does not extend a token's life."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated account or guest. `sub` owns carts and orders; `token` may be sent in calls on its behalf."""

    sub: str
    scopes: frozenset[str]
    token: str
    guest: bool = False


class Verifier(Protocol):
    """Returns the principal of a token; `create_app` takes one as `verifier`."""

    async def verify(self, token: str) -> Principal:
        """Raises Unauthenticated or Unavailable."""


class Claims:
    """The claims that every token must have. This is the only place where tokens are accepted."""

    def __init__(self, issuer: str, audience: str) -> None:
        self._expiry: dict[str, ClaimsOption] = {"exp": {"essential": True}}
        self._others: dict[str, ClaimsOption] = {
            "sub": {"essential": True},
            "iss": {"essential": True, "value": issuer},
            "aud": {"essential": True, "value": audience},
        }

    def check(self, token: str, key: Any, now: float | None = None) -> tuple[Principal, float]:
        """Returns the token's principal and the time at which the token expires, in seconds since 1970.

        `key` is a key, a key set or a function, as joserfc takes them; `now`, in seconds since 1970, defaults to this
        process's clock. Raises Unauthenticated. If `key` is a function, its exceptions pass through.
        """
        try:
            claims = jwt.decode(token, key, algorithms=[ALGORITHM]).claims
            at = int(time.time() if now is None else now)
            expiry = jwt.JWTClaimsRegistry(at, EXPIRY_LEEWAY, **self._expiry)
            expiry.validate({name: value for name, value in claims.items() if name == "exp"})
            others = jwt.JWTClaimsRegistry(at, CLOCK_LEEWAY, **self._others)
            others.validate({name: value for name, value in claims.items() if name not in ("exp", "iat")})
        except (JoseError, ValueError, TypeError) as error:
            raise _invalid(error) from error
        if not isinstance(claims["sub"], str):
            raise _invalid(TypeError("sub is not a string"))
        scopes = frozenset(str(claims.get("scope", "")).split())
        return Principal(claims["sub"], scopes, token, claims.get("kind") == "guest"), claims["exp"] + EXPIRY_LEEWAY


class TokenVerifier:
    """Verifies tokens with the keys at `url`, which it fetches in the background, and again for an unknown key.

    A fetch belongs to no request. Each request that needs it waits until its own deadline; one whose token has a known
    key never waits. A verified token is cached for up to a minute, because a principal often sends several requests in
    a row.
    """

    def __init__(self, url: str, *, issuer: str, audience: str) -> None:
        base, _, path = url.partition("/.well-known/")
        self._client = HttpClient(base, name="identity")
        self._path = f"/.well-known/{path}"
        self._keys: KeySet | None = None
        self._fetched = float("-inf")
        self._current = False
        self._outage = Outage(log, f"signing keys from {url}")
        self._fetching: asyncio.Task[None] | None = None
        self._claims = Claims(issuer, audience)
        self._cache: dict[str, tuple[float, Principal]] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        self._task = asyncio.create_task(self._refresh(), name="jwks")
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = {task for task in (self._task, self._fetching) if task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1)
        await self._client.__aexit__()

    async def verify(self, token: str) -> Principal:
        """Raises Unauthenticated, or Unavailable if the keys are not fetched yet or before the client's deadline."""
        now = time.time()
        if (known := self._cache.get(token)) and known[0] > now:
            return known[1]
        principal, counts_until = await self._check(token)
        if len(self._cache) >= CACHE_SIZE:
            for old in list(self._cache)[: CACHE_SIZE // 4]:
                del self._cache[old]
        self._cache[token] = (min(counts_until, now + CACHE_SECONDS), principal)
        return principal

    async def _check(self, token: str) -> tuple[Principal, float]:
        if self._keys is None:
            await self._fetch()
        if self._keys is None:
            raise Unavailable(
                "keys-unavailable", "The signing keys have not been fetched yet", "Try again in a second."
            )
        try:
            return self._claims.check(token, self._key_of)
        except UnknownKey:
            await self._fetch()
        try:
            return self._claims.check(token, self._key_of)
        except UnknownKey as error:
            raise _invalid(error) from error

    def _key_of(self, guest: Any) -> Any:
        assert self._keys is not None
        kid = guest.headers().get("kid")
        for key in self._keys.keys:
            if key.kid == kid:
                return key
        raise UnknownKey(f"no key {kid!r}")

    async def _fetch(self) -> None:
        """Waits for a fetch. Only one runs at a time and, once there are keys, at most one in ten seconds."""
        if self._fetching is None or self._fetching.done():
            if time.monotonic() - self._fetched < (REFETCH_SECONDS if self._keys else 0.1):
                return
            self._fetching = shared(self._fetch_now(), "jwks")
        await wait_for(self._fetching)

    async def _fetch_now(self) -> None:
        """Fetches the keys; keeps the old ones if that fails."""
        self._fetched, self._current = time.monotonic(), False
        try:
            response = await self._client.get(self._path)
            if response.status == 200:
                self._keys, self._current = KeySet.import_key_set(response.json()), True
                self._outage.over()
            else:
                self._outage.failed(f"it answered {response.status}; is JWKS_URL right?")
        except Unavailable as error:
            self._outage.failed(f"{error.detail.partition(';')[0]}; is JWKS_URL right?")
        except Exception as error:
            self._outage.failed(f"its answer is not a key set ({type(error).__name__}); is JWKS_URL right?")
        if not self._current:
            metrics.key_refresh_failures.inc()

    async def _refresh(self) -> None:
        while True:
            await self._fetch()
            await asyncio.sleep(REFRESH_SECONDS if self._current else REFETCH_SECONDS if self._keys else 0.1)


class UnknownKey(LookupError):
    """The token names an unknown key."""


def _invalid(error: Exception) -> Unauthenticated:
    reasons = {ExpiredTokenError: "expired", UnknownKey: "unknown-key"}
    metrics.refused_tokens.labels(reasons.get(type(error), "invalid")).inc()
    return Unauthenticated(
        "invalid-token", "The bearer token is not valid", f"{error}; get a new one from /api/identity."
    )


async def authenticate(request: Request) -> Principal:
    """Returns the principal of `Authorization: Bearer …`, which the application's `verifier` checks."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated(
            "token-required", "A bearer token is required", "Get a guest's from POST /api/identity/guests."
        )
    verifier: Verifier = request.app.state.verifier
    return await verifier.verify(token)


Authenticated = Annotated[Principal, Depends(authenticate)]


def requires(scope: str) -> Callable[[Authenticated], Awaitable[Principal]]:
    """Returns a dependency that returns the principal, and raises Forbidden if it does not have this scope."""

    async def check(principal: Authenticated) -> Principal:
        if scope not in principal.scopes:
            raise Forbidden("scope-required", f"The scope {scope} is required", "Log in with an account that has it.")
        return principal

    return check
