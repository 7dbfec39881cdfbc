"""Work that repeats: sweeping, pruning, polling.

Such a loop is short, and each one written by hand misses something: it ends at the first lost connection, fills the log
while a store is down, hides a bug behind a retry, or holds up the process that stops. `test_tasks.py` shows one that
does none of this.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Self

from chassis.db import is_environment_failure
from chassis.outage import Outage
from chassis.waiting import pause

__all__ = ["PeriodicTask"]

log = logging.getLogger(__name__)

RETRY = (0.1, 5.0)
"""The first and the longest pause, in seconds, after a failure."""
PATIENCE = 60.0
"""Seconds of failures after which the task counts as broken."""


class PeriodicTask:
    """Runs `work` every `every` seconds, and at once when woken, for as long as it is entered.

    There is one run at a time; the first one starts after `every` seconds. A run that fails is repeated until one
    succeeds, at first soon, then every 5 seconds. A failure of the environment is logged when it begins and when it is
    over; any other one is a bug and is logged as an error, with its stack. Leaving waits up to `stop_within` seconds
    for the current run, and then cancels it.
    """

    def __init__(
        self, name: str, work: Callable[[], Awaitable[None]], *, every: float, stop_within: float = 2.0
    ) -> None:
        self._name = name
        self._work = work
        self._every = every
        self._stop_within = stop_within
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._outage = Outage(log, name)
        self._failing_since: float | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=self._name)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        self._woken.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=self._stop_within)
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1)

    def wake(self) -> None:
        """Starts the next run now, or right after the current one; not earlier than planned after a failure."""
        self._woken.set()

    def trouble(self) -> str | None:
        """Returns why this task is of no use, once it has failed for a minute; otherwise None."""
        failing = 0.0 if self._failing_since is None else time.monotonic() - self._failing_since
        return f"{self._name} has failed for {failing:.0f} s" if failing > PATIENCE else None

    async def _run(self) -> None:
        delay = RETRY[0]
        await pause(self._woken, self._every)
        while not self._stopping.is_set():
            self._woken.clear()
            error = await self._attempt()
            if error is None:
                self._failing_since = None
                self._outage.over()
                delay = RETRY[0]
                await pause(self._woken, self._every)
            else:
                self._failed(error)
                await pause(self._stopping, delay)
                delay = min(delay * 2, RETRY[1])

    async def _attempt(self) -> Exception | None:
        """Returns the error of a run, or None."""
        try:
            await self._work()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return ConnectionError("the connection was lost")  # aiormq cancels those who wait for it
        except Exception as error:
            return error
        return None

    def _failed(self, error: Exception) -> None:
        if self._failing_since is None:
            self._failing_since = time.monotonic()
        if is_environment_failure(error):
            self._outage.failed(error)
        else:
            self._outage.failed(f"{type(error).__name__}: {error}", error)
