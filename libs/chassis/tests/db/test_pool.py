"""Only the driver begins and ends transactions, waits are short, and kinds of failures are distinguished."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest

from chassis.db import Database, is_environment_failure
from chassis.db.pool import DatabaseDown
from chassis.errors import Unavailable
from chassis.ids import uuid7
from chassis.outbox import Row
from chassis.telemetry import JsonFormatter


@pytest.fixture
async def db(database: Callable[..., str]) -> AsyncIterator[Database]:
    async with Database(database(None), name="lamps", size=2) as db:
        async with db.connection() as connection:
            await connection.execute("CREATE TABLE lamps (id int PRIMARY KEY, name text NOT NULL)")
        yield db


async def count(db: Database) -> int:
    async with db.connection() as connection:
        return await connection.fetchval("SELECT count(*) FROM lamps")


async def test_a_transaction_keeps_its_rows(db: Database):
    async with db.transaction() as tx:
        await tx.execute("INSERT INTO lamps VALUES (1, 'desk')")

    assert await count(db) == 1


async def test_a_rollback_keeps_nothing(db: Database):
    async def fails() -> None:
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO lamps VALUES (1, 'desk')")
            raise LookupError

    with pytest.raises(LookupError):
        await fails()

    assert await count(db) == 0


async def test_a_cancelled_transaction_keeps_nothing_and_returns_its_connection(db: Database):
    async def forever(inserted: asyncio.Event) -> None:
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO lamps VALUES (1, 'desk')")
            inserted.set()
            await asyncio.sleep(60)

    for _ in range(3):
        inserted = asyncio.Event()
        task = asyncio.create_task(forever(inserted))
        await inserted.wait()
        task.cancel()
        await asyncio.wait({task})

    assert await count(db) == 0


LIT = Row(uuid7(), "lamp.lit", "lamp", "{}", None)


async def test_the_relay_gets_the_messages_of_a_commit_and_none_of_a_rollback(db: Database):
    given: list[Row] = []
    db.after_messages.append(given.extend)

    async def roll_back() -> None:
        async with db.transaction() as tx:
            tx.left_messages = [LIT]
            raise LookupError

    with pytest.raises(LookupError):
        await roll_back()
    async with db.transaction():
        pass
    assert given == []

    async with db.transaction() as tx:
        tx.left_messages = [LIT]
    assert given == [LIT]

    async with db.connection() as connection:
        connection.left_messages = [LIT]
    assert given == [LIT, LIT]


async def test_a_busy_pool_answers_unavailable_soon(db: Database, monkeypatch: pytest.MonkeyPatch):
    async with db.connection(), db.connection(), asyncio.timeout(30):
        with monkeypatch.context() as hurried:
            hurried.setattr(db, "_acquire_timeout", 0.1)
            with pytest.raises(Unavailable, match="database-busy"):
                await db.ping()

    await db.ping()


async def test_a_closed_pool_answers_unavailable(database: Callable[..., str]):
    async with Database(database(None), name="lamps") as db:
        pass

    with pytest.raises(Unavailable, match="shutting-down"):
        await db.ping()


async def test_a_lost_connection_is_replaced(db: Database):
    async with db.connection() as connection:
        await connection.close()

    await db.ping()


@asynccontextmanager
async def mute_server() -> AsyncIterator[int]:
    """A port that accepts connections and never answers."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def down(url: str, acquire_timeout: float = 30) -> DatabaseDown:
    """Returns the error of a query to this database."""
    async with Database(url, name="lamps", acquire_timeout=acquire_timeout) as db:
        with pytest.raises(DatabaseDown) as failed:
            await db.ping()
    assert "9d2f" not in str(failed.value)
    assert is_environment_failure(failed.value)
    return failed.value


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1:1", "connection refused"),
        ("localhost:1", "connection refused"),
        ("nowhere.invalid:5432", "the name does not resolve"),
    ],
)
async def test_a_database_that_does_not_answer_is_named_and_may_come_back(address: str, reason: str):
    error = await down(f"postgresql://lamps:9d2f@{address}/lamps")

    assert str(error) == f"PostgreSQL at {address} does not answer: {reason}; is DATABASE_URL right?"
    assert error.temporary


async def test_a_database_that_accepts_and_stays_silent_is_named_too():
    async with mute_server() as port:
        error = await down(f"postgresql://lamps:9d2f@127.0.0.1:{port}/lamps", acquire_timeout=0.5)

    assert f"PostgreSQL at 127.0.0.1:{port} does not answer: nothing within 0.5 s" in str(error)
    assert error.temporary


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"password": "9d2f"}, 'refuses: password authentication failed for user "postgres"; correct DATABASE_URL'),
        ({"user": "nobody"}, 'refuses: password authentication failed for user "nobody"; correct DATABASE_URL'),
        ({"path": "/chairs"}, 'refuses: database "chairs" does not exist; create it, or correct DATABASE_URL'),
    ],
)
async def test_a_database_that_refuses_is_named_and_not_waited_for(
    database: Callable[..., str], change: dict[str, str], reason: str
):
    url = urlsplit(database(None))
    user, password = change.get("user", url.username), change.get("password", url.password)
    changed = url._replace(netloc=f"{user}:{password}@{url.hostname}:{url.port}", path=change.get("path", url.path))

    error = await down(changed.geturl())

    assert str(error) == f"PostgreSQL at {url.hostname}:{url.port} {reason}"
    assert not error.temporary


async def slow(db: Database) -> None:
    async with Database(db.url, name="lamps", statement_timeout=0.5) as hurried, hurried.connection() as c:
        await c.execute("SELECT pg_sleep(60)")


async def locked(db: Database) -> None:
    async with db.transaction() as one, db.transaction() as two:
        await one.execute("LOCK TABLE lamps")
        await two.execute("LOCK TABLE lamps NOWAIT")


async def deadlock(db: Database) -> None:
    async with db.connection() as c:
        await c.execute("INSERT INTO lamps VALUES (1, 'desk'), (2, 'floor')")

    both_hold_one = asyncio.Barrier(2)

    async def swap(first: int, second: int) -> None:
        async with db.transaction() as tx:
            await tx.execute("SET LOCAL deadlock_timeout = '50ms'")
            await tx.execute("UPDATE lamps SET name = 'x' WHERE id = $1", first)
            await both_hold_one.wait()
            await tx.execute("UPDATE lamps SET name = 'x' WHERE id = $1", second)

    outcomes = await asyncio.gather(swap(1, 2), swap(2, 1), return_exceptions=True)
    raise next(error for error in outcomes if error is not None)


async def read_only(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.execute("SET TRANSACTION READ ONLY")
        await tx.execute("INSERT INTO lamps VALUES (1, 'desk')")


async def migrated_under_us(db: Database) -> None:
    async with db.connection() as c, db.connection() as migration:
        await c.fetch("SELECT * FROM lamps")
        await migration.execute("ALTER TABLE lamps ADD color text")
        async with c.transaction():
            await c.fetch("SELECT * FROM lamps")


async def refused(_: Database) -> None:
    async with Database("postgresql://lamps@127.0.0.1:1/lamps", name="lamps") as nobody:
        await nobody.ping()


async def terminated(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")


async def terminated_between_statements(db: Database) -> None:
    async with db.transaction() as tx, db.connection() as administrator:
        await administrator.execute("SELECT pg_terminate_backend($1)", tx.get_server_pid())
        await asyncio.sleep(0.1)
        await tx.execute("SELECT 1")


async def closed(db: Database) -> None:
    async with db.connection() as c:
        await c.close()
        await c.execute("SELECT 1")


@pytest.mark.parametrize(
    "provoke",
    [slow, locked, deadlock, read_only, migrated_under_us, refused, terminated, terminated_between_statements, closed],
)
async def test_failures_of_the_environment_are_worth_a_retry(db: Database, provoke):
    with pytest.raises(Exception) as failed:  # noqa: PT011 - its class is the driver's own business
        await provoke(db)

    await db.ping()
    assert is_environment_failure(failed.value), repr(failed.value)


SERVER_FAILURES = {
    "53100": "no room on the disk",
    "58030": "a disk that fails",
    "XX000": "a disk quota",
}


@pytest.mark.parametrize("code", SERVER_FAILURES, ids=SERVER_FAILURES.get)
async def test_failures_of_the_server_are_worth_a_retry(db: Database, code: str):
    with pytest.raises(asyncpg.PostgresError) as failed:
        async with db.connection() as c:
            await c.execute(f"DO $$ BEGIN RAISE 'could not extend file' USING ERRCODE = '{code}'; END $$")

    assert is_environment_failure(failed.value), repr(failed.value)


@pytest.mark.parametrize(
    ("sql", "arguments"),
    [
        ("INSERT INTO lamps VALUES (1, 'desk'), (1, 'desk')", ()),
        ("INSERT INTO lamps VALUES (1, NULL)", ()),
        ("SELECT 1 / 0", ()),
        ("SELEC", ()),
        ("SELECT * FROM chairs", ()),
        ("SELECT $1::int", ("desk",)),
        ("SELECT $1::int", (2**31,)),
        ("SELECT $1::int, $2::int", (1,)),
        ("SELECT $1::text", ("a\0b",)),
        ("SELECT $1::text", ("\ud800",)),
        ("DO $$ BEGIN RAISE 'invalid page in block 7' USING ERRCODE = 'data_corrupted'; END $$", ()),
    ],
)
async def test_bad_data_and_bugs_are_not_worth_a_retry(db: Database, sql: str, arguments: tuple[object, ...]):
    with pytest.raises((asyncpg.PostgresError, ValueError, asyncpg.InterfaceError)) as failed:
        async with db.connection() as c:
            await c.execute(sql, *arguments)

    assert not is_environment_failure(failed.value), repr(failed.value)


async def test_a_group_is_a_failure_of_the_environment_if_all_its_members_are():
    assert is_environment_failure(ExceptionGroup("", [OSError(), TimeoutError()]))
    assert not is_environment_failure(ExceptionGroup("", [OSError(), KeyError()]))


PEOPLE = """
CREATE TABLE people (id int CHECK (id < 2), name text PRIMARY KEY);
INSERT INTO people VALUES (1, 'Ann Example')
"""


@pytest.mark.parametrize(
    ("id", "error"),
    [
        pytest.param(2, asyncpg.CheckViolationError, id="a row that violates a check"),
        pytest.param(1, asyncpg.UniqueViolationError, id="a key that exists"),
        pytest.param("Ann Example", asyncpg.DataError, id="an argument of a wrong type"),
    ],
)
async def test_the_text_of_an_error_holds_no_values(db: Database, id: int, error: type[Exception]):
    name = "Ann Example"

    async def fails() -> None:
        async with db.transaction() as tx:
            try:
                await tx.execute("INSERT INTO people VALUES ($1, $2)", id, name)
            except error as why:
                raise LookupError("not stored") from why

    async with db.connection() as connection:
        await connection.execute(PEOPLE)
    with pytest.raises(LookupError) as caught:
        await fails()

    assert isinstance(caught.value.__cause__, error)
    assert "Ann" not in JsonFormatter().formatException((LookupError, caught.value, caught.tb))
