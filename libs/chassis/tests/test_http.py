"""Calls to another service end in time, use few connections, and are rarely retried."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from chassis.errors import Unavailable
from chassis.http import HttpClient
from chassis.waiting import DEADLINE_HEADER, deadline


class Remote:
    """Another service, which records its requests and answers as told."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[web.Request] = []
        self.ports: list[int] = []
        self.statuses: list[int] = []
        self.seconds = 0.0
        self.at_once = 0
        self.most_at_once = 0
        self.left = False

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Sends two chunks and then is silent, until the client leaves."""
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            for chunk in (b"one", b"two"):
                await answer.write(chunk)
                await asyncio.sleep(0.05)
            await asyncio.sleep(30)
        finally:
            self.left = True
        return answer

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        assert request.transport is not None
        self.ports.append(request.transport.get_extra_info("peername")[1])
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.at_once -= 1
        status = self.statuses.pop(0) if self.statuses else 200
        return web.json_response({"lamp": "desk"}, status=status)


@pytest.fixture
async def remote() -> AsyncIterator[Remote]:
    async with running("127.0.0.1") as remote:
        yield remote


@asynccontextmanager
async def running(address: str, port: int = 0) -> AsyncIterator[Remote]:
    remote = Remote()
    app = web.Application()
    app.router.add_get("/stream", remote.stream)
    app.router.add_route("*", "/{path:.*}", remote.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, address, port).start()
        host, port = runner.addresses[0][:2]
        remote.url = f"http://{host}:{port}"
        yield remote
    finally:
        await runner.cleanup()


async def test_an_answer_has_a_status_headers_and_a_body(remote: Remote):
    async with HttpClient(remote.url, name="lamps") as client:
        response = await client.get("/lamps/1")

    assert (response.status, response.json()) == (200, {"lamp": "desk"})
    assert response.headers["content-type"] == response.headers["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("status", [400, 404, 409, 429])
async def test_a_4xx_is_an_answer_and_is_not_retried(remote: Remote, status: int):
    remote.statuses = [status]
    async with HttpClient(remote.url, name="lamps") as client:
        assert (await client.get("/")).status == status
    assert len(remote.asked) == 1


async def test_a_get_is_retried_once(remote: Remote):
    remote.statuses = [503]
    async with HttpClient(remote.url, name="lamps") as client:
        assert (await client.get("/")).status == 200
    assert len(remote.asked) == 2


async def test_a_5xx_twice_is_unavailable(remote: Remote):
    remote.statuses = [500, 502]
    async with HttpClient(remote.url, name="lamps") as client:
        with pytest.raises(Unavailable, match="lamps-unavailable"):
            await client.get("/")


async def test_a_post_is_not_repeated(remote: Remote):
    remote.statuses = [503]
    async with HttpClient(remote.url, name="lamps") as client:
        with pytest.raises(Unavailable):
            await client.request("POST", "/", body=b"{}")
    assert len(remote.asked) == 1


async def test_a_refused_connection_is_unavailable():
    async with HttpClient("http://127.0.0.1:1", name="lamps") as client:
        with pytest.raises(Unavailable):
            await client.get("/")


async def test_an_overloaded_service_gets_few_retries(remote: Remote):
    remote.statuses = [503] * 1000
    async with HttpClient(remote.url, name="lamps") as client:
        await asyncio.gather(*(client.get("/") for _ in range(100)), return_exceptions=True)

    assert 100 < len(remote.asked) <= 100 + 10 + 10  # the saved retries, and one per ten calls


async def test_a_call_waits_no_longer_than_its_timeout(remote: Remote):
    remote.seconds = 60
    async with HttpClient(remote.url, name="lamps", timeout=0.2) as client, asyncio.timeout(30):
        with pytest.raises(Unavailable):
            await client.request("POST", "/")
    assert remote.asked[0].headers[DEADLINE_HEADER] == "200"


async def test_a_call_that_its_caller_cancels_is_not_counted(remote: Remote, eventually, sample):
    def counts() -> list[float | None]:
        return [
            sample("http_client_request_duration_seconds_count", server_address="stools", error_type=wrong)
            for wrong in ("", "cancelled")
        ]

    async with HttpClient(remote.url, name="stools") as client:
        await client.get("/")
        remote.seconds = 5
        call = asyncio.create_task(client.get("/"))
        await eventually(lambda: len(remote.asked) == 2)
        call.cancel()
        await asyncio.wait({call})

    assert call.cancelled()
    assert counts() == [1, None]


async def test_a_call_with_its_retry_ends_at_the_clients_deadline(remote: Remote):
    remote.seconds = 60
    deadline.set(time.monotonic() + 0.2)
    async with HttpClient(remote.url, name="lamps", timeout=60) as client, asyncio.timeout(30):
        with pytest.raises(Unavailable, match="deadline-passed"):
            await client.get("/")


async def test_the_other_service_is_told_the_deadline(remote: Remote):
    deadline.set(time.monotonic() + 70)
    async with HttpClient(remote.url, name="lamps", timeout=100) as client:
        await client.get("/")

    assert 50_000 < int(remote.asked[0].headers[DEADLINE_HEADER]) <= 70_000


async def test_a_call_after_the_deadline_is_not_made(remote: Remote):
    deadline.set(time.monotonic() - 0.1)
    async with HttpClient(remote.url, name="lamps") as client:
        with pytest.raises(Unavailable, match="deadline-passed"):
            await client.get("/")
    assert remote.asked == []


async def test_short_deadlines_use_no_retry(remote: Remote):
    async with HttpClient(remote.url, name="lamps") as client:
        deadline.set(time.monotonic())
        for _ in range(30):
            with pytest.raises(Unavailable, match="deadline-passed"):
                await client.get("/")
        deadline.set(None)
        remote.statuses = [503]
        assert (await client.get("/")).status == 200


async def test_connections_are_limited(remote: Remote):
    remote.seconds = 0.02
    async with HttpClient(remote.url, name="lamps", connections=3) as client:
        await asyncio.gather(*(client.get("/") for _ in range(12)))
    assert remote.most_at_once == 3


@pytest.mark.parametrize(("idle", "connections"), [(60, 1), (0.05, 2)])
async def test_a_connection_that_was_idle_too_long_is_not_used_again(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, idle: float, connections: int
):
    monkeypatch.setattr("chassis.http.IDLE_SECONDS", idle)
    async with HttpClient(remote.url, name="lamps") as client:
        await client.get("/")
        await asyncio.sleep(0.2)
        await client.request("POST", "/", body=b"{}")

    assert len(set(remote.ports)) == connections


@pytest.mark.parametrize("remembers", [True, False])
async def test_a_service_that_moved_is_found_when_its_old_address_is_forgotten(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, remembers: bool
):
    monkeypatch.setattr("chassis.http.ADDRESS_SECONDS", 60 if remembers else 0.05)
    monkeypatch.setattr("chassis.http.IDLE_SECONDS", 0.05)
    port = urlsplit(remote.url).port
    address = "127.0.0.1"
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]
    )
    async with running("127.0.0.2", port) as moved, HttpClient(f"http://lamps:{port}", name="lamps") as client:
        await client.get("/")
        address = "127.0.0.2"
        await asyncio.sleep(0.2)
        await client.get("/")

        assert len(moved.asked) == (0 if remembers else 1)


async def test_a_stream_is_read_as_it_arrives_and_ends_with_its_reader(remote: Remote, eventually):
    async with HttpClient(remote.url, name="lamps") as client:
        async with client.stream("/stream") as stream:
            assert stream.status == 200
            assert [await anext(stream.chunks), await anext(stream.chunks)] == [b"one", b"two"]
        assert await eventually(lambda: remote.left)


async def test_a_stream_that_is_silent_for_too_long_is_unavailable(remote: Remote):
    async with HttpClient(remote.url, name="lamps") as client, client.stream("/stream", silence=0.2) as stream:
        with pytest.raises(Unavailable, match="lamps-unavailable"):
            assert [chunk async for chunk in stream.chunks] == []


async def test_a_stream_must_begin_in_time(remote: Remote):
    remote.seconds = 5
    async with HttpClient(remote.url, name="lamps", timeout=0.1) as client:
        with pytest.raises(Unavailable, match="lamps-unavailable"):
            async with client.stream("/"):
                pass
