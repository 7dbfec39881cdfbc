"""Deadlines of clients, and work that several of them wait for.

A task inherits the context of its creator, so work for several clients would get the deadline and trace of the first
client. Therefore `shared` work runs in an empty context, and each client waits for it until its own deadline.
`test_batching.py` and `test_auth.py` show clients with short deadlines among others.
"""

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from contextvars import Context, ContextVar
from typing import Any, TypeVar

from chassis.errors import Unavailable

__all__ = ["DEADLINE_HEADER", "deadline", "deadline_passed", "pause", "seconds_left", "shared", "wait_for"]

T = TypeVar("T")

DEADLINE_HEADER = "X-Request-Timeout-Ms"
"""How long the client still waits. It is a duration, so the clocks of client and service may differ."""

deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
"""The monotonic time by which the current request must be answered."""


def seconds_left() -> float | None:
    """Returns how long the client still waits, 0 after its deadline; None without a deadline."""
    by = deadline.get()
    return None if by is None else max(0.0, by - time.monotonic())


def deadline_passed() -> Unavailable:
    return Unavailable("deadline-passed", "There was no answer before your deadline", "Wait longer, or try again.")


def shared(work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Returns a task that belongs to no request, so it has no deadline and no trace. `work` needs its own timeout."""
    return asyncio.get_running_loop().create_task(work, name=name, context=Context())


async def pause(event: asyncio.Event, seconds: float) -> None:
    """Waits until the event is set, but at most `seconds`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def wait_for(task: asyncio.Task[T]) -> T:
    """Returns the result of a shared task. Raises Unavailable at the client's deadline; the task then continues."""
    await asyncio.wait({task}, timeout=seconds_left())
    if not task.done() or task.cancelled():  # cancelled: this process is stopping
        raise deadline_passed()
    return task.result()
