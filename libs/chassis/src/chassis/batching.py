"""Group commit: concurrent requests share one transaction.

A commit waits for the disk, so with one commit per request a service is as slow as the disk. Items that arrive while a
batch runs form the next batch, so a single request never waits for others, unless it is asked to `linger`.
`test_batching.py` shows both.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from chassis import tracing
from chassis.db import is_environment_failure
from chassis.errors import Unavailable
from chassis.waiting import deadline_passed, seconds_left, shared

__all__ = ["Batcher"]

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Calls `run` with up to `size` items, one call at a time, outside the context of any request.

    With `linger`, the first item after a pause waits this many seconds for others. A run of several wakes each process
    behind it once instead of several times.

    `run` returns one result per item, in order; a result that is an exception is raised to the submitter of that item
    only. If `run` itself raises, it must have changed nothing. A failure of the environment, or a run of more than
    `timeout` seconds, is raised to every submitter of the batch; after any other failure the batch is run again in
    halves, down to the item that causes it. `submit` raises Unavailable when `queue` items are waiting, and at the
    client's deadline. If the submitter gives up or is cancelled, a waiting item is dropped, but an item that runs
    is completed.
    """

    def __init__(
        self,
        run: Callable[[list[T]], Awaitable[Sequence[R | Exception]]],
        *,
        size: int = 64,
        queue: int = 1024,
        timeout: float = 10.0,
        linger: float = 0.0,
    ) -> None:
        self._run = run
        self._size = size
        self._limit = queue
        self._timeout = timeout
        self._linger = linger
        self._waiting: deque[tuple[T, asyncio.Future[R], tracing.Context | None]] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, item: T) -> R:
        if len(self._waiting) >= self._limit:
            raise Unavailable("too-busy", "Too many requests are waiting", "Try again in a second.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        left = seconds_left()
        alarm = None if left is None else loop.call_later(left, _give_up, future)
        self._waiting.append((item, future, tracing.current()))
        if self._worker is None or self._worker.done():
            self._worker = shared(self._work(), "batches")
        try:
            return await future
        finally:
            if alarm is not None:
                alarm.cancel()

    async def _work(self) -> None:
        if self._linger:
            await asyncio.sleep(self._linger)
        while batch := self._take():
            items, futures, contexts = zip(*batch, strict=True)
            with tracing.batch("batch", contexts):
                results = await self._results(list(items))
            for future, result in zip(futures, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    async def _results(self, items: list[T]) -> Sequence[R | Exception]:
        try:
            async with asyncio.timeout(self._timeout):
                results = await self._run(items)
            if len(results) != len(items):
                raise ValueError(f"{len(results)} results for {len(items)} items")
        except Exception as error:
            if len(items) == 1 or is_environment_failure(error):
                return [error] * len(items)
            half = len(items) // 2
            return [*await self._results(items[:half]), *await self._results(items[half:])]
        return results

    def _take(self) -> list[tuple[T, asyncio.Future[R], tracing.Context | None]]:
        batch: list[tuple[T, asyncio.Future[R], tracing.Context | None]] = []
        while self._waiting and len(batch) < self._size:
            waiting = self._waiting.popleft()
            if not waiting[1].done():
                batch.append(waiting)
        return batch


def _give_up(future: asyncio.Future[R]) -> None:
    if not future.done():
        future.set_exception(deadline_passed())
