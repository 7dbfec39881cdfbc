"""Hashing passwords, in turns: whose time is up, or who has gone, is not hashed for."""

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
    """Until when a caller waits (by the monotonic clock, in seconds), and how to see whether the caller has gone."""

    until: float = math.inf
    gone: Callable[[], Awaitable[bool]] = _never


class Passwords:
    """Argon2id, so many at once: each takes a core and 64 MiB.

    The threads are its own: those of the event loop resolve names, and must not wait for passwords. They also bound
    what is hashed at once when a caller is cut off, since a thread that has begun goes on to its end.
    """

    def __init__(self, concurrency: int) -> None:
        self._hasher = PasswordHash.recommended()
        self._threads = ThreadPoolExecutor(concurrency, "password")
        self._free = asyncio.Semaphore(concurrency)
        self._waiting = 0
        self._seconds = 0.0
        self._decoy = self._timed(self._hasher.hash, str(uuid7()))

    @contextlib.asynccontextmanager
    async def turn(self, caller: Patience) -> AsyncIterator[asyncio.Timeout]:
        """A turn to hash, which ends when the caller's time is up, and in any case after `TURN_SECONDS` seconds.

        What must not stop halfway lifts this limit by `reschedule(None)`. Raises Unavailable when the time is up, and
        at once when too many wait already.
        """
        until = min(caller.until, time.monotonic() + TURN_SECONDS)
        try:
            async with asyncio.timeout(until - time.monotonic()) as limit:
                await self._take()
                try:
                    if self._in_vain(until) or await caller.gone():
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
        """Without a hash it takes as long, so that time does not tell which accounts exist."""
        found = await self._in_thread(self._hasher.verify, password, hash or self._decoy)
        return found and hash is not None

    async def _take(self) -> None:
        """First come, first served: who waits longest is there for the answer, while others have given up."""
        if self._waiting >= MAX_WAITING:
            raise _busy()
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1

    def _in_vain(self, until: float) -> bool:
        """Whether the answer would come too late. Where nobody else waits it is tried, and shows how long it takes now.

        Else, with more callers than turns, each would get a turn at the last moment, and nobody an answer.
        """
        left = until - time.monotonic()
        return left <= 0 or (self._waiting > 0 and left < 2 * self._seconds)

    async def _in_thread(self, work: Callable[..., T], *arguments: str) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._timed, work, *arguments)

    def _timed(self, work: Callable[..., T], *arguments: str) -> T:
        """Does the work, and keeps how long it takes these days (a moving average)."""
        start = time.monotonic()
        result = work(*arguments)
        took = time.monotonic() - start
        self._seconds += (took - self._seconds) / (8 if self._seconds else 1)
        return result


def _busy() -> Unavailable:
    return Unavailable("too-busy", "Too many are signing in", "Try again in a second.")
