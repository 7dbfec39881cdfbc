"""Waits for the services to consume their queues. They are ready before that: they also serve without the broker."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from chassis.local.processes import StartError

__all__ = ["wait_for"]


def wait_for(url: str, queues: Sequence[str], seconds: float = 30) -> None:
    """Wait until each of these queues has a consumer. Raises StartError if one still has none."""
    asyncio.run(_wait(url, queues, time.monotonic() + seconds))


async def _wait(url: str, waiting: Sequence[str], end: float) -> None:
    from shopctl import broker

    while True:
        with suppress(*broker.UNREACHABLE):
            found = await broker.queues(url, waiting)
            waiting = [name for name, queue in found.items() if queue is None or not queue.consumers]
        if not waiting:
            return
        if time.monotonic() > end:
            raise StartError(f"No process consumes these queues: {', '.join(waiting)}. `make logs` has more.")
        await asyncio.sleep(0.1)
