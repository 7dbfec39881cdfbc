"""Waits until another transaction is held up by a lock, so that a test can order two of them."""

import asyncio

from chassis.db import Connection

__all__ = ["somebody_waits"]


async def somebody_waits(tx: Connection) -> None:
    """Returns once a transaction on the server waits for a lock."""
    for _ in range(1000):
        if await tx.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("no transaction waits for a lock")
