"""Requests beyond the bound of their kind are refused at once, whatever they ask; all others are not affected."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import APIRouter, Request
from prometheus_client import REGISTRY

from chassis.admission import WAIT_SECONDS, Kind
from chassis.app import create_app
from chassis.settings import ServiceSettings
from chassis.testing.apps import client_of

KINDS = (
    Kind("buying", 2, re.compile(r"POST /lamps")),
    Kind("browsing", 1, re.compile(r"(GET|HEAD) /lamps.*"), from_edge=True),
)
EDGE = {"X-Forwarded-For": "203.0.113.7"}


class Shop:
    """A shop whose requests last until `go_on`. `reached` counts those that came as far as a route."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.reached = 0
        router = APIRouter()
        router.add_api_route("/lamps", self.serve, methods=["POST", "GET"])
        router.add_api_route("/lamps/broken", self.fail, methods=["GET"])
        router.add_api_route("/orders/1", self.serve, methods=["GET"])
        self.app = create_app(ServiceSettings(), "lamps", title="Lamps", routers=[router], kinds=KINDS)
        self.http = client_of(self.app)

    async def serve(self, request: Request) -> int:
        self.reached += 1
        await self.go_on.wait()
        return len(await request.body())

    async def fail(self) -> None:
        raise RuntimeError("broken")

    @asynccontextmanager
    async def busy(self, method: str, path: str, count: int, **options: Any) -> AsyncIterator[None]:
        """Inside the block, so many requests are in progress; after it, all of them were answered with 200."""
        before = self.reached
        asked = [asyncio.create_task(self.http.request(method, path, **options)) for _ in range(count)]
        while self.reached < before + count:  # noqa: ASYNC110
            await asyncio.sleep(0)
        yield
        self.go_on.set()
        assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop = Shop()
    async with shop.http:
        yield shop


def shed(kind: str) -> float:
    return REGISTRY.get_sample_value("quayside_http_shed_requests_total", {"kind": kind}) or 0


async def test_a_request_beyond_the_bound_is_refused_before_its_body_is_read(shop: Shop) -> None:
    before = shed("buying")
    async with shop.busy("POST", "/lamps", 2):
        answer = await shop.http.post("/lamps", content=b'{"a": 1, "a": 2}', headers={"Authorization": "Bearer x"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
    assert answer.json()["type"] == "https://quayside.example/problems/overloaded"
    assert answer.json()["detail"]
    assert shop.reached == 2
    assert shed("buying") == before + 1


async def test_those_who_are_refused_come_back_at_different_times(shop: Shop) -> None:
    async with shop.busy("POST", "/lamps", 2):
        answers = await asyncio.gather(*(shop.http.post("/lamps") for _ in range(100)))
    waits = {int(answer.headers["Retry-After"]) for answer in answers}
    assert waits == set(range(WAIT_SECONDS[0], WAIT_SECONDS[1] + 1))


async def test_a_place_is_free_again_after_each_answer(shop: Shop) -> None:
    async with shop.busy("POST", "/lamps", 2):
        pass
    for _ in range(3):
        assert (await shop.http.post("/lamps")).status_code == 200
        assert (await shop.http.get("/lamps/broken", headers=EDGE)).status_code == 500
    assert (await shop.http.get("/lamps", headers=EDGE)).status_code == 200


async def test_a_place_is_free_again_when_a_request_is_cancelled(shop: Shop) -> None:
    for _ in range(2):
        task = asyncio.create_task(shop.http.get("/lamps", headers=EDGE))
        while not shop.reached:  # noqa: ASYNC110
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        shop.reached = 0


async def test_kinds_do_not_take_each_others_place(shop: Shop) -> None:
    async with shop.busy("POST", "/lamps", 2), shop.busy("GET", "/lamps", 1, headers=EDGE):
        answers = [await shop.http.request(method, "/lamps", headers=EDGE) for method in ("POST", "GET")]
    assert [answer.status_code for answer in answers] == [503, 503]


async def test_a_call_of_another_service_is_not_refused_for_clients_of_the_edge(shop: Shop) -> None:
    async with shop.busy("GET", "/lamps", 1, headers=EDGE), shop.busy("GET", "/lamps", 5):
        assert (await shop.http.head("/lamps", headers=EDGE)).status_code == 503


async def test_what_has_no_kind_and_the_health_of_the_process_are_never_refused(shop: Shop) -> None:
    async with shop.busy("POST", "/lamps", 2), shop.busy("GET", "/orders/1", 20, headers=EDGE):
        assert (await shop.http.get("/health/live")).status_code == 200
        assert (await shop.http.get("/metrics")).status_code == 200
