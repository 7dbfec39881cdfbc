"""The forwarder of `shopctl chaos` disturbs connections only while its fault is in effect, and changes no byte."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from chassis.local.forwarding import Forwarder
from shopctl.chaos import forwarder
from shopctl.chaos.forwarder import FAULTS, Commits, Disturbance


@contextlib.asynccontextmanager
async def echo(fault: Disturbance, name: str) -> AsyncIterator[tuple[Forwarder, Any, Any]]:
    """A connection through a forwarder to a server that sends back what it gets."""

    async def back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1000):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(back, "127.0.0.1", 0)
    between = Forwarder("127.0.0.1", server.sockets[0].getsockname()[1], FAULTS[name](fault))
    reader, writer = await asyncio.open_connection("127.0.0.1", await between.listen())
    try:
        yield between, reader, writer
    finally:
        writer.close()
        await between.cut()
        await between.ended()
        server.close()


@pytest.mark.parametrize("name", ["delay", "loss"])
async def test_what_is_late_arrives_complete_and_in_order(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder, "DELAY", (0.0, 0.002))
    monkeypatch.setattr(forwarder, "LOST", 0.5)
    monkeypatch.setattr(forwarder, "RETRANSMISSION", 0.001)
    fault, sent = Disturbance(), bytes(range(256)) * 800
    fault.begin()
    async with echo(fault, name) as (_, reader, writer):
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent


async def test_a_cut_holds_everything_back_until_it_is_mended() -> None:
    fault = Disturbance()
    async with echo(fault, "cut") as (_, reader, writer):
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        fault.begin()
        writer.write(b"during")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        fault.end()
        assert await reader.readexactly(6) == b"during"


async def test_a_cut_holds_the_end_back_too() -> None:
    fault = Disturbance()
    async with echo(fault, "cut") as (_, reader, writer):
        fault.begin()
        writer.write_eof()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        fault.end()
        assert await reader.read(1) == b""


async def test_a_reset_ends_the_connection_with_an_error() -> None:
    async with echo(Disturbance(), "reset") as (between, reader, writer):
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        between.reset()
        with pytest.raises(ConnectionResetError):
            await reader.read(1)


async def test_the_end_of_what_one_side_sends_is_passed_on() -> None:
    async with echo(Disturbance(), "delay") as (_, reader, writer):
        writer.write(b"all")
        writer.write_eof()
        assert await reader.read() == b"all"


@dataclass(frozen=True)
class Through:
    fault: Disturbance
    connection: asyncpg.Connection
    direct: asyncpg.Connection

    async def stored(self) -> list[int]:
        return [row["id"] for row in await self.direct.fetch("SELECT id FROM things ORDER BY id")]


async def test_a_server_that_does_not_answer_ends_the_connection() -> None:
    between = Forwarder("127.0.0.1", 1)
    reader, _ = await asyncio.open_connection("127.0.0.1", await between.listen())
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    await between.cut()


@pytest.fixture
async def through(database) -> AsyncIterator[Through]:
    """A connection through the fault, and a direct one, with a table for both."""
    url, fault = urlsplit(database(None)), Disturbance()
    between = Forwarder(str(url.hostname), url.port or 5432, FAULTS["cut-after-commit"](fault))
    direct = await asyncpg.connect(url.geturl())
    await direct.execute("CREATE TABLE things (id int)")
    yield Through(fault, await asyncpg.connect(url.geturl(), host="127.0.0.1", port=await between.listen()), direct)
    await direct.close()
    await between.cut()
    await between.ended()


LOST = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)


async def test_the_answer_to_a_commit_is_lost_but_the_commit_is_not(
    through: Through, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarder, "EVERY", 2)
    async with through.connection.transaction():
        await through.connection.execute("INSERT INTO things VALUES (1)")
    through.fault.begin()
    await through.connection.fetch("SELECT id FROM things WHERE id = $1 FOR UPDATE", 1)  # writes nothing
    async with through.connection.transaction():
        await through.connection.execute("INSERT INTO things VALUES (2)")
        await through.connection.execute("INSERT INTO things VALUES (3)")
    with pytest.raises(LOST):
        async with through.connection.transaction():
            await through.connection.execute("INSERT INTO things VALUES (4)")

    assert through.connection.is_closed()
    assert await through.stored() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO things SELECT $1::int",
        "WITH added AS (INSERT INTO things SELECT $1::int RETURNING id) SELECT id FROM added",
    ],
)
async def test_the_answer_to_a_statement_that_commits_by_itself_is_lost(
    through: Through, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    monkeypatch.setattr(forwarder, "EVERY", 2)
    through.fault.begin()
    with pytest.raises(asyncpg.DivisionByZeroError):
        await through.connection.fetch(f"{statement} WHERE 1 / ($1::int - 1) = 0", 1)  # fails, so it does not commit
    await through.connection.fetch(statement, 1)
    with pytest.raises(LOST):
        await through.connection.fetch(statement, 2)

    assert await through.stored() == [1, 2]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_commits_are_found_wherever_the_bytes_are_split(size: int) -> None:
    ready = b"Z\0\0\0\x05I"
    row = b"D\0\0\0\x13C\0\0\0\x0bCOMMIT\0..."  # a row that looks like an answer
    startup, commit = b"\0\0\0\x08\x04\xd2\x16\x2f" + b"\0\0\0\x09\0\x03\0\0\0", b"Q\0\0\0\x0cCOMMIT;\0"
    done = b"C\0\0\0\x0bCOMMIT\0"
    commits = Commits()

    def feed(take: Callable[[bytes], int], stream: bytes) -> int:
        return sum(take(stream[at : at + size]) for at in range(0, len(stream), size))

    assert feed(commits.asked, startup) == 0
    assert feed(commits.answered, b"N" + b"R\0\0\0\x08\0\0\0\0" + ready) == 0
    assert feed(commits.asked, commit) == 0
    assert feed(commits.answered, done + ready) == 1
    assert feed(commits.answered, row + b"C\0\0\0\x0dROLLBACK\0" + ready) == 0
