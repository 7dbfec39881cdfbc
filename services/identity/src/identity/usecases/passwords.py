"""Hashing passwords in turns, and not at all for a client that has disconnected or whose deadline has passed."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from pwdlib import PasswordHash

from chassis.errors import Unavailable
from chassis.ids import uuid7

__all__ = ["Passwords", "Patience"]

TURN_SECONDS = 3.0
MAX_WAITING = 512

T = TypeVar("T")


async def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Patience:
    """The deadline of a request (monotonic, in seconds), and a way to ask whether its client has disconnected."""

    until: float = math.inf
    gone: Callable[[], Awaitable[bool]] = _never


class Passwords:
    """Hashes with Argon2id, at most `concurrency` at once: each hash takes a core and 64 MiB.

    It has threads of its own, because those of the event loop resolve names and must not wait for passwords. The
    threads also limit the concurrency when a request is cancelled, since a hash that has started runs to its end.
    """

    def __init__(self, concurrency: int) -> None:
        self._hasher = PasswordHash.recommended()
        self._threads = ThreadPoolExecutor(concurrency, "password")
        self._free = asyncio.Semaphore(concurrency)
        self._waiting = 0
        self._seconds = 0.0
        self._decoy = self._timed(self._hasher.hash, str(uuid7()))

    @contextlib.asynccontextmanager
    async def turn(self, client: Patience) -> AsyncIterator[asyncio.Timeout]:
        """Waits for a turn to hash. The turn ends at the request's deadline, and after at most `TURN_SECONDS`.

        Work that must not be interrupted lifts this limit with `reschedule(None)`. Raises Unavailable when the time is
        up, and at once if too many are waiting.
        """
        until = min(client.until, time.monotonic() + TURN_SECONDS)
        try:
            async with asyncio.timeout(until - time.monotonic()) as limit:
                await self._take()
                try:
                    if self._in_vain(until) or await client.gone():
                        raise _busy()
                    yield limit
                finally:
                    self._free.release()
        except TimeoutError:
            if not limit.expired():
                raise
            raise _busy() from None

    async def hash(self, password: str) -> str:
        return await self._in_thread(self._hasher.hash, password)

    async def matches(self, password: str, hash: str | None) -> bool:
        """Verifies a password. It takes as long without a hash, so the time does not reveal which accounts exist."""
        found = await self._in_thread(self._hasher.verify, password, hash or self._decoy)
        return found and hash is not None

    async def _take(self) -> None:
        """Waits for a turn, first come, first served. Raises Unavailable if too many are waiting."""
        if self._waiting >= MAX_WAITING:
            raise _busy()
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1

    def _in_vain(self, until: float) -> bool:
        """Returns whether the response would come too late, judged by how long hashing has taken lately.

        Without this check, under overload each request would get its turn at the last moment, and none a response.
        When no other request waits, hashing is tried anyway, which measures its duration again.
        """
        left = until - time.monotonic()
        return left <= 0 or (self._waiting > 0 and left < 2 * self._seconds)

    async def _in_thread(self, work: Callable[..., T], *arguments: str) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._timed, work, *arguments)

    def _timed(self, work: Callable[..., T], *arguments: str) -> T:
        """Does the work, and updates the moving average of its duration."""
        start = time.monotonic()
        result = work(*arguments)
        took = time.monotonic() - start
        self._seconds += (took - self._seconds) / (8 if self._seconds else 1)
        return result


def _busy() -> Unavailable:
    return Unavailable("too-busy", "Too many requests are waiting to sign in", "Try again in a second.")
