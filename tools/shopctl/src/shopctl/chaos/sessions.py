"""A process that holds every session that PostgreSQL still permits to an ordinary role, until SIGTERM.

DATABASE_URL=postgresql://… PID_FILE=… python -m shopctl.chaos.sessions
"""

import asyncio
import os

import asyncpg

from shopctl.chaos import helpers

__all__ = ["FAILURES", "taken"]

TIMEOUT = 5.0
PAUSE = 0.2
FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


async def taken(url: str) -> bool:
    """Returns whether PostgreSQL permits no further session."""
    try:
        connection = await asyncpg.connect(url, timeout=TIMEOUT)
        await connection.close(timeout=TIMEOUT)
    except asyncpg.TooManyConnectionsError:
        return True
    except FAILURES:
        pass  # it does not run, or ends just now
    return False


async def hold(url: str) -> None:
    """Opens sessions while PostgreSQL permits them, and takes those that others give back."""
    held = []
    while True:
        try:
            held.append(await asyncpg.connect(url, timeout=TIMEOUT))
        except FAILURES:
            held = [each for each in held if not each.is_closed()]
            await asyncio.sleep(PAUSE)


if __name__ == "__main__":
    helpers.save()
    asyncio.run(hold(os.environ["DATABASE_URL"]))
