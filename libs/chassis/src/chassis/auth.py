"""Verifies bearer tokens in each service, with identity's cached keys: no call per request, and no trust in the edge.

`chassis.tokens` has what is checked. `test_auth.py` shows how keys are fetched.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Protocol, Self

from fastapi import Depends, Request

from chassis import metrics
from chassis.errors import Forbidden, Unauthenticated, Unavailable
from chassis.http import HttpClient
from chassis.outage import Outage
from chassis.tokens import Claims, Keys, Principal, UnknownKey, public_keys, refused
from chassis.waiting import shared, wait_for

__all__ = ["Authenticated", "Principal", "TokenVerifier", "Verifier", "authenticate", "requires"]

log = logging.getLogger(__name__)

REFETCH_SECONDS = 10
REFRESH_SECONDS = 300
CACHE_SIZE = 8192
CACHE_SECONDS = 60


class Verifier(Protocol):
    """Returns the principal of a token; `create_app` takes one as `verifier`."""

    async def verify(self, token: str) -> Principal:
        """Raises Unauthenticated or Unavailable."""


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
        self._keys: Keys = {}
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
        if not self._keys:
            await self._fetch()
        if not self._keys:
            raise Unavailable(
                "keys-unavailable", "The signing keys have not been fetched yet", "Try again in a second."
            )
        try:
            return self._claims.check(token, self._keys)
        except UnknownKey:
            await self._fetch()
        try:
            return self._claims.check(token, self._keys)
        except UnknownKey as error:
            raise refused(error) from error

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
                self._keys, self._current = public_keys(response.json()), True
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
