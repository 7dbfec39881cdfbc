"""One order for each idempotency key, even if several requests with the key come one after another or at once."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from chassis.batching import Batcher
from chassis.db import Database
from chassis.errors import Conflict, Invalid, Problem
from chassis.waiting import deadline, seconds_left
from order import repository

__all__ = ["Deduplication", "Key", "Placed"]

MAX_WAIT_SECONDS = 2.0
LOOK_SECONDS = 0.5
"""The part of the client's time, a quarter at most, that is kept for looking for an earlier order."""

Key = tuple[str, str]
"""A principal and their idempotency key."""


@dataclass(frozen=True, slots=True)
class Placed:
    """`replayed`: an earlier request with the same key placed the order."""

    order_id: UUID
    replayed: bool


class Deduplication:
    """Handles the requests of this process with the same key one after another.

    For requests in several processes, a unique index permits only one order.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._in_flight: dict[Key, asyncio.Future[None]] = {}
        self._keys = Batcher(self._find)

    async def once(self, key: Key, request_hash: bytes, place: Callable[[], Awaitable[UUID]]) -> Placed:
        """Returns the order with this key; `place` stores it if there is none.

        Raises Invalid if an earlier request with the key had another body, Conflict if an earlier one takes too long,
        and what `place` raises.
        """
        left = seconds_left()
        give_up = time.monotonic() + (MAX_WAIT_SECONDS if left is None else min(left, MAX_WAIT_SECONDS))
        while first := self._in_flight.get(key):
            try:
                await asyncio.wait_for(asyncio.shield(first), give_up - time.monotonic())
            except TimeoutError:
                raise Conflict(
                    "in-flight",
                    "The first request with this key is still being handled",
                    "Send the same request again in a moment.",
                ) from None
            if placed := await self._replay(key, request_hash):
                return placed
        done = self._in_flight[key] = asyncio.get_running_loop().create_future()
        try:
            return await self._place(key, request_hash, place)
        finally:
            del self._in_flight[key]
            done.set_result(None)

    async def _place(self, key: Key, request_hash: bytes, place: Callable[[], Awaitable[UUID]]) -> Placed:
        """Looks for an earlier order only if it cannot place this one: nearly all keys are new.

        An earlier order always prevents it, since keys are unique, but the reason that it meets first may be another
        one, such as an empty cart. If the cart or the catalog does not answer, time is left to look.
        """
        try:
            with _time_left_to_look():
                return Placed(await place(), replayed=False)
        except Problem:
            if placed := await self._replay(key, request_hash):
                return placed
            raise

    async def _replay(self, key: Key, request_hash: bytes) -> Placed | None:
        found = await self._keys.submit(key)
        if found is None:
            return None
        order_id, first_hash = found
        if first_hash != request_hash:
            raise Invalid(
                "key-reused", "This Idempotency-Key was sent with another body", "Use a new key for a new order."
            )
        return Placed(order_id, replayed=True)

    async def _find(self, keys: list[Key]) -> list[tuple[UUID, bytes] | Exception | None]:
        async with self._db.connection() as connection:
            found = await repository.find_by_keys(connection, keys)
        return [found.get(key) for key in keys]


@contextlib.contextmanager
def _time_left_to_look() -> Iterator[None]:
    by, left = deadline.get(), seconds_left()
    token = deadline.set(None if by is None or left is None else by - min(LOOK_SECONDS, left / 4))
    try:
        yield
    finally:
        deadline.reset(token)
