"""For how long a caller waits, and work that several callers wait for.

A task inherits the context of whoever makes it: what is done for several would end with the deadline, and stand in the
trace, of the one who happened to come first. So `shared` work runs in an empty context, and each who waits for it waits
until their own deadline. `test_batching.py` and `test_auth.py` show callers in a hurry among others.
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
"""Relative, so that clocks need not agree: how long the caller still waits."""

deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
"""The monotonic time by which the request being served must be answered."""


def seconds_left() -> float | None:
    """How long the caller still waits, 0 when that is over; None: for as long as it takes."""
    by = deadline.get()
    return None if by is None else max(0.0, by - time.monotonic())


def deadline_passed() -> Unavailable:
    return Unavailable("deadline-passed", "There was no answer within the time you wait", "Wait longer, or try again.")


def shared(work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """A task of nobody's: without deadline and trace. It needs a time-out of its own."""
    return asyncio.get_running_loop().create_task(work, name=name, context=Context())


async def pause(event: asyncio.Event, seconds: float) -> None:
    """Waits until the event is set, at most for so many seconds."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def wait_for(task: asyncio.Task[T]) -> T:
    """The result of a shared task, which goes on whatever becomes of who waits. Raises Unavailable at the deadline."""
    await asyncio.wait({task}, timeout=seconds_left())
    if not task.done() or task.cancelled():  # cancelled: this process is stopping
        raise deadline_passed()
    return task.result()
