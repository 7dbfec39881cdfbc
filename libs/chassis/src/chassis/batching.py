"""Group commit: concurrent callers share one transaction.

A commit waits for the disk; one a request caps a service at the disk's rate. What arrives while the last batch runs
makes the next one, so a lone caller waits for nobody. `test_batching.py` shows both.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from chassis.errors import Unavailable

__all__ = ["Batcher"]

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Calls `run` with up to `size` items at a time, one call at a time.

    `run` returns one result an item, in order; a result that is an exception is raised to that item's caller alone.
    When `run` itself raises, every caller of that batch gets the exception. `submit` raises Unavailable when `queue`
    items are waiting.
    """

    def __init__(
        self,
        run: Callable[[list[T]], Awaitable[Sequence[R | Exception]]],
        *,
        size: int = 64,
        queue: int = 1024,
    ) -> None:
        self._run = run
        self._size = size
        self._limit = queue
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, item: T) -> R:
        if len(self._waiting) >= self._limit:
            raise Unavailable("too-busy", "Too many requests are waiting", "Try again in a second.")
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(self._size, len(self._waiting)))]
            try:
                results: Sequence[R | Exception] = await self._run([item for item, _ in batch])
            except Exception as error:
                results = [error] * len(batch)
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():  # its caller has gone; the work is done all the same
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
