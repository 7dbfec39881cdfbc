"""On a real server, a failure is answered, keeps the connection open, and is counted with the status that was sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import asyncpg
import pytest
from fastapi import APIRouter, Body, Request
from prometheus_client import generate_latest
from starlette.responses import StreamingResponse

from chassis.app import create_app
from chassis.db import Database
from chassis.settings import ServiceSettings
from chassis.testing.apps import served

ERRORS: dict[str, Exception] = {
    "environment": asyncpg.ConnectionDoesNotExistError("connection was closed"),
    "bug": ZeroDivisionError("division by zero"),
}
router = APIRouter()


@router.post("/fail/{what}")
async def fail(what: str) -> None:
    raise ERRORS[what]


@router.post("/echo")
async def echo(body: Annotated[Any, Body()]) -> Any:
    return body


@router.post("/raw")
async def raw(request: Request) -> int:
    return len(await request.body())


@router.get("/stream/{what}")
async def stream(what: str) -> StreamingResponse:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"the first line\n"
        raise ERRORS[what]

    return StreamingResponse(chunks())


@asynccontextmanager
async def serving(*routers: APIRouter) -> AsyncIterator[int]:
    """Yields the port of a server like a service's."""
    app = create_app(ServiceSettings(log_sample_ratio=1), "lamps", title="Lamps", routers=routers)
    async with served(app, access_log=False) as url:
        yield int(url.rpartition(":")[2])


class Caller:
    """A client with one persistent connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, method: str, path: str, body: bytes = b"1") -> tuple[int, bytes]:
        """Returns status and body."""
        self.send(method, path, body, len(body))
        head = await self.reader.readuntil(b"\r\n\r\n")
        status, *headers = head.decode().split("\r\n")
        lengths = [int(h.partition(":")[2]) for h in headers if h.lower().startswith("content-length")]
        return int(status.split()[1]), await self.reader.readexactly(lengths[0])

    def send(self, method: str, path: str, body: bytes, length: int) -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: l\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
        self.writer.write(head.encode() + b"\r\n" + body)


@asynccontextmanager
async def calling(port: int) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    return lambda: [json.loads(line) for line in capfd.readouterr().out.splitlines()]


@pytest.mark.parametrize(("what", "status"), [("environment", 503), ("bug", 500)])
async def test_a_failure_leaves_the_connection_to_the_next_request(what: str, status: int):
    async with serving(router) as port, calling(port) as caller:
        answers = [await caller.ask("POST", path) for path in (f"/fail/{what}", "/echo", f"/fail/{what}", "/raw")]

    assert [status for status, _ in answers] == [status, 200, status, 200]


def counted(status: int) -> float:
    """Returns how many failed requests have this status in the metrics."""
    told = (f'http_response_status_code="{status}"', 'http_route="/fail/{what}"', "duration_seconds_count")
    lines = generate_latest().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if all(part in line for part in told))


async def test_a_failure_of_the_environment_is_one_line_and_counted_as_what_was_sent(lines):
    before = counted(503), counted(500)
    async with serving(router) as port, calling(port) as caller:
        await caller.ask("POST", "/fail/environment")

    assert (counted(503) - before[0], counted(500) - before[1]) == (1, 0)
    (line,) = (line for line in lines() if line["level"] != "info")
    assert (line["logger"], line["status"], line["level"]) == ("access", 503, "warning")
    assert line["reason"].startswith("database-unavailable: ")
    assert "exception" not in line


async def test_a_bug_is_one_line_with_its_stack(lines):
    async with serving(router) as port, calling(port) as caller:
        await caller.ask("POST", "/fail/bug")

    (line,) = (line for line in lines() if line["level"] != "info")
    assert (line["logger"], line["status"], line["level"]) == ("access", 500, "error")
    assert "in fail" in line["exception"]


async def test_the_line_of_a_row_that_is_refused_does_not_hold_the_row(db: Database, lines):
    people = APIRouter()

    @people.post("/people/{name}")
    async def add(name: str) -> None:
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO people VALUES (2, $1)", name)

    async with db.connection() as connection:
        await connection.execute("CREATE TABLE people (id int CHECK (id < 2), name text)")
    async with serving(people) as port, calling(port) as caller:
        assert (await caller.ask("POST", "/people/Ann"))[0] == 500

    (line,) = (line for line in lines() if line["level"] != "info")
    assert "violates check constraint" in line["exception"]
    assert "Ann" not in str(line)


@pytest.mark.parametrize("path", ["/echo", "/raw"])
async def test_a_client_that_disconnects_while_sending_is_no_failure(lines, path: str):
    async with serving(router) as port:
        async with calling(port) as caller:
            caller.send("POST", path, b'{"half', 1000)
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.1)

    logged = lines()
    assert [line["status"] for line in logged if line["logger"] == "access"] == [499]
    assert not [line for line in logged if "exception" in line or line["level"] in ("error", "warning")]


@pytest.mark.parametrize(("what", "stacks"), [("environment", 0), ("bug", 1)])
async def test_an_answer_that_has_begun_is_cut_off(lines, what: str, stacks: int):
    async with serving(router) as port, calling(port) as caller:
        caller.send("GET", f"/stream/{what}", b"", 0)
        answer = await caller.reader.read()  # to the end, so the connection was closed

    assert b"the first line" in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert len([line for line in lines() if "exception" in line]) == stacks


async def test_a_request_succeeds_even_if_the_schema_changes_under_it(database: Callable[..., str]):
    lamps = APIRouter()

    @lamps.put("/lamps/{id}")
    async def put(id: int, body: dict[str, str]) -> list[int | str]:
        async with db.transaction() as tx:
            await tx.execute("UPDATE lamps SET name = $2 WHERE id = $1", id, body["name"])
            return list(await tx.fetchrow("SELECT id, watts, name FROM lamps WHERE id = $1", id))

    async with Database(database(None), name="lamps") as db, serving(lamps) as port, calling(port) as caller:
        async with db.connection() as connection:
            await connection.execute("CREATE TABLE lamps (id int, watts int, name text)")
            await connection.execute("INSERT INTO lamps VALUES (1, 7, 'desk')")
        await caller.ask("PUT", "/lamps/1", b'{"name": "a"}')
        async with asyncio.timeout(5), db.connection() as connection:
            await connection.execute("ALTER TABLE lamps ALTER COLUMN watts TYPE bigint")

        assert await caller.ask("PUT", "/lamps/1", b'{"name": "b"}') == (200, b'[1,7,"b"]')
