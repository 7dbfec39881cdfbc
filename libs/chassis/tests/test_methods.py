"""HEAD is GET without the body, also on a real server; a 405 lists all methods of the address."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from chassis.app import create_app
from chassis.errors import Conflict
from chassis.settings import ServiceSettings
from chassis.testing.apps import served

router = APIRouter()
left = asyncio.Event()


@router.get("/lamps")
async def lamps() -> Response:
    return Response(b"[1, 2]", headers={"ETag": '"1"', "Content-Type": "application/json"})


@router.post("/lamps")
async def add() -> None:
    """Makes a lamp."""


@router.get("/lamps/{name}")
async def lamp(name: str) -> dict[str, str]:
    if name == "lent":
        raise Conflict("lamp-lent", "The lamp is lent", "Wait.")
    return {"name": name}


@router.put("/lamps/{name}")
@router.delete("/lamps/{name}")
async def change(name: str) -> None:
    """Changes a lamp."""


@router.post("/lamps/{name}/on")
async def switch(name: str) -> None:
    """Switches a lamp on."""


@router.get("/light")
async def light() -> StreamingResponse:
    async def flashes() -> AsyncIterator[bytes]:
        try:
            yield b"flash\n"
            await asyncio.sleep(60)
        finally:
            left.set()

    return StreamingResponse(flashes(), media_type="text/event-stream")


@asynccontextmanager
async def serve() -> AsyncIterator[httpx2.AsyncClient]:
    """Serves the application on a real server, since the bytes of an answer to HEAD matter."""
    app = create_app(ServiceSettings(), "lamps", title="Lamps", routers=[router])
    async with (
        served(app, timeout_graceful_shutdown=1) as url,
        httpx2.AsyncClient(base_url=url, timeout=30) as client,
    ):
        yield client


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with serve() as client:
        yield client


@pytest.mark.parametrize(
    "path",
    [
        *("/lamps", "/lamps/desk", "/lamps/lent", "/nothing", "/api/lamps/openapi.json"),
        *("/health/live", "/health/ready", "/health/startup", "/metrics"),
    ],
)
async def test_head_is_get_without_the_body(client: httpx2.AsyncClient, path: str) -> None:
    get, head = await client.get(path), await client.head(path)

    assert (head.status_code, head.content) == (get.status_code, b"")
    ignored = {"date"} | (
        {"content-length"} if path == "/metrics" else set()
    )  # its numbers grow between the two requests
    assert {n: v for n, v in head.headers.items() if n not in ignored} == {
        n: v for n, v in get.headers.items() if n not in ignored
    }
    assert "content-length" in head.headers


async def test_the_connection_is_used_again_after_head(client: httpx2.AsyncClient) -> None:
    for _ in range(3):
        await client.head("/lamps")
        assert (await client.get("/lamps")).json() == [1, 2]


async def test_head_of_a_stream_ends_at_once_and_leaves_nothing_running(client: httpx2.AsyncClient) -> None:
    left.clear()
    async with asyncio.timeout(30):
        head = await client.head("/light")
        assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        await left.wait()
        assert (await client.get("/lamps")).status_code == 200


async def test_head_where_there_is_no_get_is_405(client: httpx2.AsyncClient) -> None:
    head = await client.head("/lamps/desk/on")
    assert (head.status_code, head.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/lamps", "GET, HEAD, POST"),
        ("PATCH", "/lamps/desk", "GET, HEAD, PUT, DELETE"),
        ("POST", "/health/live", "GET, HEAD"),
        ("OPTIONS", "/lamps", "GET, HEAD, POST"),
        ("PROPFIND", "/light", "GET, HEAD"),
    ],
)
async def test_405_lists_all_methods_of_an_address(
    client: httpx2.AsyncClient, method: str, path: str, allow: str
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    assert answer.json()["type"].endswith("/method-not-allowed")
