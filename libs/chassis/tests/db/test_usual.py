"""A statement for the usual case does all of its work or nothing."""

from uuid import UUID

import asyncpg
import pytest

from chassis import inbox, outbox
from chassis.db import Connection, Database, only_if, usual
from chassis.ids import uuid7
from chassis.messages import Message


class Lit(Message):
    type = "lamps.lit.v1"

    watts: int


LIGHT = f"""
WITH seen AS ({inbox.insert(1)}),
lit AS (INSERT INTO lamps (id) SELECT unnest($3::int[]) RETURNING id),
sent AS ({outbox.insert(4)})
SELECT id, {only_if("(SELECT count(*) FROM seen) = cardinality($2)")} FROM sent
"""


@pytest.fixture
async def lamps(db: Database) -> Database:
    async with db.connection() as connection:
        await connection.execute("CREATE TABLE lamps (id int PRIMARY KEY CHECK (id > 0))")
    return db


async def light(connection: Connection, events: list[UUID], ids: list[int]) -> list[asyncpg.Record] | None:
    drafts = outbox.drafts([(uuid7(), Lit(watts=id)) for id in ids])
    rows = await usual(connection, LIGHT, "lamps", sorted(events), ids, *outbox.columns(drafts))
    if rows is not None:
        outbox.left(connection, drafts, [row["id"] for row in rows])
    return rows


async def counts(connection: Connection) -> list[int]:
    return [await connection.fetchval(f"SELECT count(*) FROM {table}") for table in ("inbox", "lamps", "outbox")]


async def test_the_usual_case_leaves_its_rows_and_hands_its_messages_to_the_relay(lamps: Database):
    given: list[outbox.Row] = []
    lamps.after_messages.append(given.extend)

    async with lamps.connection() as connection:
        assert await light(connection, [uuid7(), uuid7()], [1, 2, 3]) is not None
        assert await counts(connection) == [2, 3, 3]
        stored = await connection.fetch("SELECT id, routing_key, subject, data, traceparent FROM outbox ORDER BY id")

    assert given == [outbox.Row(*row) for row in stored]
    assert [row.data for row in given] == ['{"watts":1}', '{"watts":2}', '{"watts":3}']


@pytest.mark.parametrize("ids", [[2, 1], [2, -1], [2]], ids=["not unique", "against a check", "not new"])
async def test_another_case_leaves_nothing(lamps: Database, ids: list[int]):
    seen = uuid7()
    async with lamps.connection() as connection:
        await light(connection, [seen], [1])
        before = await counts(connection)

        assert await light(connection, [uuid7(), seen] if ids == [2] else [uuid7()], ids) is None
        assert await counts(connection) == before
