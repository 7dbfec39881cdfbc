"""Streams on a real server: they show each step, end with the order, and leave nothing behind."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI

from chassis.ids import uuid7
from chassis.messages import Event
from order.messages import PaymentCancelled, PaymentCaptured, StockReserved
from order.usecases import saga

from .test_routes import app, as_, order

__all__ = ["app"]  # the fixture


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=5, limits=limits) as client:
        yield client
    server.should_exit = True
    await running


async def placed(client: httpx2.AsyncClient) -> tuple[UUID, str]:
    """An order's id, and the address of its stream."""
    location = (await order(client)).headers["Location"]
    return UUID(location.rpartition("/")[2]), f"{location}/events"


async def confirm(shop: Any, id: UUID) -> None:
    await saga.stock_reserved(shop.db, [Event(uuid7(), str(id), StockReserved(id))])
    await saga.payment_captured(shop.db, [Event(uuid7(), str(id), PaymentCaptured(id))])


def ids(text: str) -> list[str]:
    return [line.partition(": ")[2] for line in text.splitlines() if line.startswith("id:")]


async def resumed(client: httpx2.AsyncClient, address: str, last: str | None) -> httpx2.Response:
    headers = as_("ann") | ({} if last is None else {"Last-Event-ID": last})
    return await client.get(address, headers=headers)


async def test_a_stream_shows_each_step_and_ends_with_the_order(client, shop) -> None:
    id, address = await placed(client)
    watching = asyncio.create_task(resumed(client, address, None))
    await confirm(shop, id)

    answer = await watching

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert ids(answer.text) == ["1", "2", "3"]


@pytest.mark.parametrize(("last", "rest"), [("0", ["1", "2", "3"]), ("2", ["3"])])
async def test_a_stream_goes_on_after_what_was_seen(client, shop, last: str, rest: list[str]) -> None:
    id, address = await placed(client)
    await confirm(shop, id)

    assert ids((await resumed(client, address, last)).text) == rest


@pytest.mark.parametrize("last", ["3", "4", "99999"])
async def test_a_stream_of_which_all_was_seen_ends_at_once_and_says_so(client, shop, last: str) -> None:
    id, address = await placed(client)
    await confirm(shop, id)

    answer = await resumed(client, address, last)

    assert (answer.status_code, answer.content) == (204, b"")


async def test_an_id_beyond_the_last_step_still_gets_what_comes(client, shop) -> None:
    id, address = await placed(client)
    watching = asyncio.create_task(resumed(client, address, "99999"))
    await asyncio.sleep(0.3)
    await confirm(shop, id)

    assert ids((await watching).text) == ["2", "3"]


async def test_a_refund_is_watched_to_its_own_end(client, shop) -> None:
    id, address = await placed(client)
    await confirm(shop, id)
    await saga.refund(shop.db, id)
    watching = asyncio.create_task(resumed(client, address, "0"))
    await asyncio.sleep(0.3)
    await saga.payment_cancelled(shop.db, [Event(uuid7(), str(id), PaymentCancelled(id, True))])

    assert ids((await watching).text) == ["1", "2", "3", "4", "5"]


async def test_a_client_that_goes_leaves_no_task_and_no_watcher(client, app) -> None:
    _, address = await placed(client)
    tasks = len(asyncio.all_tasks())
    async with client.stream("GET", address, headers=as_("ann")) as stream:
        lines = stream.aiter_lines()
        await anext(lines)
        assert app.state.parts.feed._watchers

    async with asyncio.timeout(2):
        while app.state.parts.feed._watchers or len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_silence_is_filled_and_costs_no_step(client, shop, monkeypatch) -> None:
    monkeypatch.setattr("order.routes.HEARTBEAT_SECONDS", 0.05)
    id, address = await placed(client)
    watching = asyncio.create_task(resumed(client, address, "1"))
    await asyncio.sleep(0.4)
    await confirm(shop, id)

    text = (await watching).text

    assert text.startswith(": still here\n\n: still here\n\n")
    assert ids(text) == ["2", "3"]


async def test_many_watch_and_one_that_does_not_read_keeps_nobody_waiting(client, shop) -> None:
    id, address = await placed(client)
    async with client.stream("GET", address, headers=as_("ann")):
        watching = [asyncio.create_task(resumed(client, address, None)) for _ in range(50)]
        await asyncio.sleep(0.3)
        await confirm(shop, id)

        assert [ids(answer.text) for answer in await asyncio.gather(*watching)] == [["1", "2", "3"]] * 50


async def test_more_watchers_than_one_query_serves_are_refused(client, monkeypatch) -> None:
    monkeypatch.setattr("order.usecases.feed.MAX_WATCHERS", 1)
    _, address = await placed(client)
    async with client.stream("GET", address, headers=as_("ann")) as stream:
        lines = stream.aiter_lines()
        await anext(lines)
        refused = await resumed(client, address, None)

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")


async def test_a_process_that_goes_ends_its_streams(client, app) -> None:
    _, address = await placed(client)
    watching = asyncio.create_task(resumed(client, address, None))
    await asyncio.sleep(0.3)
    app.state.health.draining.set()

    assert ids((await watching).text) == ["1"]
