"""Pruning: removes archived messages and inbox rows that are old, little by little.

An old row is found by the time in its ID, so no index is needed besides the primary keys. A thousand rows at a time are
removed, with pauses, so that orders do not notice. `test_pruning.py` shows this with two processes at once.
"""

import asyncio
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from chassis.db import Database
from chassis.ids import floor
from chassis.tasks import PeriodicTask

__all__ = ["prune_archive", "prune_inbox", "pruner"]

EVERY = 60.0
TAKE = 1000
PAUSE = 0.1
"""Seconds between two deletions, so that they take about a tenth of a core."""
INBOX_LONGER = timedelta(days=7)
"""How much longer the inbox is kept. While a message can be published again, its consumers must know its ID, although
services prune at different times, or are down for a while."""

# No message is published or received before its ID was made. The IDs limit a deletion to a range of the primary key.
ARCHIVED = """
DELETE FROM outbox_archive WHERE id = ANY (ARRAY(
    SELECT id FROM outbox_archive WHERE id > $1 AND id < $2 AND published_at < $3
    ORDER BY id LIMIT $4 FOR UPDATE SKIP LOCKED
)) RETURNING id
"""
RECEIVED = """
DELETE FROM inbox WHERE consumer = $5 AND event_id = ANY (ARRAY(
    SELECT event_id FROM inbox WHERE consumer = $5 AND event_id > $1 AND event_id < $2 AND received_at < $3
    ORDER BY event_id LIMIT $4 FOR UPDATE SKIP LOCKED
)) RETURNING event_id
"""


def pruner(db: Database, service: str, days: int) -> PeriodicTask:
    """Returns the task that keeps the messages of `days` days, and what `service` received in a week more.

    Several processes may run it, since each skips the rows that another one removes.
    """
    return PeriodicTask("prune", partial(_prune, db, service, days), every=EVERY)


async def _prune(db: Database, service: str, days: int) -> None:
    await prune_archive(db, days)
    await prune_inbox(db, service, days)


async def prune_archive(db: Database, days: int) -> int:
    """Removes the messages that were published more than `days` days ago. Returns their number."""
    return await _delete(db, ARCHIVED, timedelta(days))


async def prune_inbox(db: Database, service: str, days: int) -> int:
    """Removes the IDs that `service` received more than `days` days and a week ago. Returns their number."""
    return await _delete(db, RECEIVED, timedelta(days) + INBOX_LONGER, service)


async def _delete(db: Database, statement: str, age: timedelta, *arguments: str) -> int:
    async with db.connection() as connection:
        before: datetime = await connection.fetchval("SELECT now() - $1::interval", age)
    count, last = 0, UUID(int=0)
    while True:
        async with db.connection() as connection:
            rows = await connection.fetch(statement, last, floor(before), before, TAKE, *arguments)
        count += len(rows)
        if len(rows) < TAKE:
            return count
        last = max(row[0] for row in rows)
        await asyncio.sleep(PAUSE)
