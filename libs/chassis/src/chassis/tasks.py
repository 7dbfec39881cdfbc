"""Work that repeats: sweeping, pruning, polling.

A loop written by hand is short but incomplete: it ends at the first lost connection, fills the log while a store is
down, hides a bug behind a retry, or delays the end of the process. `test_tasks.py` shows that this one does not.
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

FIRST_PAUSE = 0.1
"""Seconds between a first failure and its retry."""
PATIENCE = 60.0
"""Seconds of failures after which the task counts as broken."""


class PeriodicTask:
    """Runs `work` every `every` seconds, and at once when `wake` is called, inside its `async with` block.

    There is one run at a time; the first one starts after `every` seconds. A run that fails is repeated until one
    succeeds, after pauses that grow from 0.1 to `longest_pause` seconds. A failure of the environment is logged when it
    begins and when it ends; any other failure is a bug, and is logged as an error with its stack. The end of the block
    waits up to `stop_within` seconds for the current run, and for one that `wake` has asked for, and then cancels them.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[None]],
        *,
        every: float,
        longest_pause: float = 5.0,
        stop_within: float = 2.0,
    ) -> None:
        self._name = name
        self._work = work
        self._every = every
        self._longest_pause = longest_pause
        self._stop_within = stop_within
        self._wanted = False
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
        """Starts the next run now, or right after the current one. It does not shorten the pause after a failure."""
        self._wanted = True
        self._woken.set()

    def trouble(self) -> str | None:
        """Returns what is wrong once the task has failed for a minute; otherwise None."""
        failing = 0.0 if self._failing_since is None else time.monotonic() - self._failing_since
        return f"{self._name} has failed for {failing:.0f} s" if failing > PATIENCE else None

    async def _run(self) -> None:
        delay = FIRST_PAUSE
        await pause(self._woken, self._every)
        while self._wanted or not self._stopping.is_set():
            self._wanted = False
            self._woken.clear()
            error = await self._attempt()
            if error is None:
                self._failing_since = None
                self._outage.over()
                delay = FIRST_PAUSE
                if not self._stopping.is_set():
                    await pause(self._woken, self._every)
            else:
                self._failed(error)
                await pause(self._stopping, delay)
                delay = min(delay * 2, self._longest_pause)

    async def _attempt(self) -> Exception | None:
        """Returns the error of a run, or None."""
        try:
            await self._work()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return ConnectionError("the connection was lost")  # aiormq cancels its waiters
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
