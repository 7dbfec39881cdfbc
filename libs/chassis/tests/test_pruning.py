"""Old messages and inbox rows are removed, new ones stay, and two processes may prune at once."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from chassis import pruning
from chassis.db import Database
from chassis.ids import floor

KEPT = 30
"""The days of messages to keep."""
TABLES = {"outbox_archive": "id", "inbox": "event_id"}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "TAKE", 10)
    monkeypatch.setattr(pruning, "PAUSE", 0)


def written(days: float, number: int = 0) -> UUID:
    """The ID of a message that was written so many days ago."""
    return UUID(int=floor(datetime.now(UTC) - timedelta(days)).int + number)


async def add(db: Database, ids: Sequence[UUID], days: float) -> None:
    """Adds messages that were published, and received by lamps, so many days ago."""
    async with db.connection() as connection:
        await connection.execute(
            "INSERT INTO outbox_archive (id, routing_key, subject, data, published_at)"
            " SELECT unnest($1::uuid[]), 'lamps.lit.v1', 'a lamp', '{}', now() - $2::interval",
            *(ids, timedelta(days)),
        )
        await connection.execute(
            "INSERT INTO inbox (consumer, event_id, received_at)"
            " SELECT 'lamps', unnest($1::uuid[]), now() - $2::interval",
            *(ids, timedelta(days)),
        )


async def left(db: Database, table: str) -> list[UUID]:
    async with db.connection() as connection:
        rows = await connection.fetch(f"SELECT {TABLES[table]} AS id FROM {table} ORDER BY 1")
        return [row["id"] for row in rows]


async def test_what_is_old_is_removed_in_several_steps(db: Database):
    old, new = [written(40, number) for number in range(35)], [written(29)]
    await add(db, old, 40)
    await add(db, new, 29)

    assert await pruning.prune_archive(db, KEPT) == len(old)
    assert await pruning.prune_inbox(db, "lamps", KEPT) == len(old)

    assert {table: await left(db, table) for table in TABLES} == dict.fromkeys(TABLES, new)


async def test_the_inbox_knows_each_message_that_may_be_published_again_for_a_week_more(db: Database):
    ids = [written(36)]
    await add(db, ids, 36)

    await pruning.prune_archive(db, KEPT)
    await pruning.prune_inbox(db, "lamps", KEPT)

    assert {table: await left(db, table) for table in TABLES} == {"outbox_archive": [], "inbox": ids}


async def test_a_message_that_was_written_long_before_it_was_published_and_received_stays(db: Database):
    ids = [written(50)]
    await add(db, ids, 1)

    await pruning.prune_archive(db, KEPT)
    await pruning.prune_inbox(db, "lamps", KEPT)

    assert {table: await left(db, table) for table in TABLES} == dict.fromkeys(TABLES, ids)


async def test_two_processes_share_the_work(db: Database):
    await add(db, [written(40, number) for number in range(500)], 40)

    removed = await asyncio.gather(*(pruning.prune_archive(db, KEPT) for _ in range(2)))

    assert sum(removed) == 500
    assert await left(db, "outbox_archive") == []


async def test_rows_that_another_process_removes_are_skipped(db: Database):
    taken, free = [written(40, number) for number in range(20)], [written(40, 20)]
    await add(db, [*taken, *free], 40)

    async with db.transaction() as tx:
        await tx.execute("SELECT FROM outbox_archive WHERE id = ANY ($1) FOR UPDATE", taken)
        assert await pruning.prune_archive(db, KEPT) == len(free)


async def test_the_task_prunes_both(db: Database, eventually, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pruning, "EVERY", 0.01)
    await add(db, [written(40)], 40)

    async with pruning.pruner(db, "lamps", KEPT):
        for table in TABLES:

            async def empty(table: str = table) -> bool:
                return await left(db, table) == []

            await eventually(empty)
