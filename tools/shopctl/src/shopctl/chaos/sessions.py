"""A process that holds every session that PostgreSQL still permits to an ordinary role, until SIGTERM.

DATABASE_URL=postgresql://… python -m shopctl.chaos.sessions
"""

import asyncio
import os

import asyncpg

__all__ = ["taken"]

TIMEOUT = 5.0
PAUSE = 0.2


async def taken(url: str) -> bool:
    """Returns whether PostgreSQL permits no further session."""
    try:
        connection = await asyncpg.connect(url, timeout=TIMEOUT)
    except asyncpg.TooManyConnectionsError:
        return True
    except OSError:
        return False  # it does not run
    await connection.close(timeout=TIMEOUT)
    return False


async def hold(url: str) -> None:
    """Opens sessions while PostgreSQL permits them, and takes those that others give back."""
    held = []
    while True:
        try:
            held.append(await asyncpg.connect(url, timeout=TIMEOUT))
        except (OSError, asyncpg.PostgresError):
            held = [each for each in held if not each.is_closed()]
            await asyncio.sleep(PAUSE)


if __name__ == "__main__":
    asyncio.run(hold(os.environ["DATABASE_URL"]))
