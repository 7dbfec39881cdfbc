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
    items are waiting. Who is cancelled while waiting is left out; once it runs, the work is done.
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
        while batch := self._take():
            try:
                results = await self._run([item for item, _ in batch])
                answers = list(zip(batch, results, strict=True))
            except Exception as error:
                answers = [(waiting, error) for waiting in batch]
            for (_, future), result in answers:
                if future.done():
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    def _take(self) -> list[tuple[T, asyncio.Future[R]]]:
        batch: list[tuple[T, asyncio.Future[R]]] = []
        while self._waiting and len(batch) < self._size:
            item, future = self._waiting.popleft()
            if not future.done():
                batch.append((item, future))
        return batch
