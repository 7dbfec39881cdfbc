"""Calls to other services: with a timeout from the client's deadline, a limit on connections, and a retry budget.

Without deadlines, one slow service blocks all services that call it, directly or indirectly. Without a budget, retries
turn an overload into an outage. `test_http.py` shows both.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
import msgspec

from chassis import metrics, tracing
from chassis.errors import Unavailable
from chassis.waiting import DEADLINE_HEADER, deadline_passed, seconds_left

__all__ = ["ADDRESS_SECONDS", "IDLE_SECONDS", "HttpClient", "Response", "Stream"]

IDLE_SECONDS = 4.0
"""How long a connection is kept for the next call. Servers must keep it longer (uvicorn's default is 5 s, our services
use 30 s): if the server closes it first, a POST may be sent on a closing connection, and its outcome is unknown."""

ADDRESS_SECONDS = 3
"""How long the address of a name is used for new connections, as at the edge. A new container may have the address that
another service had a moment ago."""


@dataclass(frozen=True, slots=True)
class Response:
    """`headers` are found in upper or lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self, type: Any = Any) -> Any:
        """Raises msgspec.DecodeError."""
        return msgspec.json.decode(self.body, type=type)


@dataclass(frozen=True, slots=True)
class Stream:
    """A response whose body is still arriving. Reading raises Unavailable after `silence` seconds without a byte."""

    status: int
    chunks: AsyncIterator[bytes]


class HttpClient:
    """A client of one service.

    A call raises `Unavailable` if no response arrives within `timeout` seconds or before the client's deadline, or if
    its status is 5xx. A call with `retry=True` (as `get`) is then retried once, within the budget: one retry per ten
    calls, and up to ten unused retries are kept for later.
    """

    def __init__(self, base_url: str, *, name: str, timeout: float = 2.0, connections: int = 32) -> None:
        self._base = base_url.rstrip("/")
        self._name = name
        self._timeout = timeout
        self._connections = connections
        self._budget = 10.0
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections, keepalive_timeout=IDLE_SECONDS, ttl_dns_cache=ADDRESS_SECONDS
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),  # `_once` has a timeout for the whole call
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> Response:
        return await self.request("GET", path, headers=headers, retry=True)

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        retry: bool = False,
    ) -> Response:
        self._budget = min(self._budget + 0.1, 10.0)
        try:
            return await self._once(method, path, headers, body)
        except Unavailable:
            if seconds_left() == 0:  # a short deadline is not a failure of the service
                raise deadline_passed() from None
            if not retry or self._budget < 1:
                raise
            self._budget -= 1
            await asyncio.sleep(random.uniform(0, 0.1))  # noqa: S311
            return await self._once(method, path, headers, body)

    async def _once(self, method: str, path: str, headers: Mapping[str, str] | None, body: bytes | None) -> Response:
        assert self._session is not None, "the client is used before it is started"
        limit = self._limit()
        start = time.perf_counter()
        wrong: str | None = None  # nothing is known of a call that its caller cancels
        with tracing.span(f"{method} {self._name}", tracing.CLIENT, self._described(method)) as span:
            try:
                async with asyncio.timeout(limit):
                    async with self._session.request(
                        method, self._base + path, headers=_sent(limit, headers), data=body, allow_redirects=False
                    ) as answer:
                        response = Response(answer.status, await answer.read(), answer.headers)
                span.set("http.response.status_code", response.status)
                wrong = str(response.status) if response.status >= 500 else ""
            except (aiohttp.ClientError, OSError) as error:
                wrong = "timeout" if isinstance(error, TimeoutError) else "unreachable"
                raise self._unavailable(str(error) or type(error).__name__) from error
            finally:
                if wrong:
                    span.fail(wrong)
                if wrong is not None:
                    metrics.observe(metrics.client_duration.labels(self._name, wrong), time.perf_counter() - start)
        if wrong:
            raise self._unavailable(f"it answered {wrong}")
        return response

    def _described(self, method: str) -> dict[str, tracing.Value]:
        return {"http.request.method": method, "server.address": self._name}

    @asynccontextmanager
    async def stream(
        self, path: str, *, headers: Mapping[str, str] | None = None, silence: float = 60.0
    ) -> AsyncIterator[Stream]:
        """Sends a GET whose response may last: only its headers must arrive within `timeout` and the deadline."""
        assert self._session is not None, "the client is used before it is started"
        limit = self._limit()
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(limit):
                    answer = await stack.enter_async_context(
                        self._session.get(
                            self._base + path,
                            headers=_sent(limit, headers),
                            allow_redirects=False,
                            timeout=aiohttp.ClientTimeout(total=None, sock_read=silence),
                        )
                    )
            except (aiohttp.ClientError, OSError) as error:
                raise self._unavailable(str(error) or type(error).__name__) from error
            if answer.status >= 500:
                raise self._unavailable(f"it answered {answer.status}")
            yield Stream(answer.status, self._chunks(answer))

    async def _chunks(self, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise self._unavailable(str(error) or type(error).__name__) from error

    def _limit(self) -> float:
        """Returns the seconds until a call must have its response. Raises Unavailable after the deadline."""
        left = seconds_left()
        limit = self._timeout if left is None else min(self._timeout, left)
        if limit <= 0:
            raise deadline_passed()
        return limit

    def _unavailable(self, reason: str) -> Unavailable:
        return Unavailable(
            f"{self._name}-unavailable",
            f"The {self._name} service does not answer",
            f"{reason}; try again later.",
        )


def _sent(limit: float, headers: Mapping[str, str] | None) -> dict[str, str]:
    sent = {DEADLINE_HEADER: str(int(limit * 1000)), **(headers or {})}
    if traceparent := tracing.traceparent():
        sent["traceparent"] = traceparent
    return sent
