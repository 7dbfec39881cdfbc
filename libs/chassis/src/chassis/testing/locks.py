"""Waits until another transaction waits for a lock, so that a test can put two transactions in order."""

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
