"""Carts that are read at the same time are read in one call, whatever the release of cart."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from chassis.errors import Unavailable
from chassis.http import HttpClient
from order.clients import CartClient
from order.usecases.placing import Cart

CARTS = {f"token-{n}": {"version": f"version-{n}", "items": [{"sku": "MUG-1", "quantity": n}]} for n in range(1, 100)}


class FakeCart:
    """Answers as cart does, or as cart of the previous release; `calls` has the number of carts of each call."""

    def __init__(self) -> None:
        self.previous_release = False
        self.status: int | None = None
        self.calls: list[int] = []
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.app = web.Application()
        self.app.router.add_get("/api/cart", self._one)
        self.app.router.add_post("/internal/carts", self._several)

    async def _one(self, request: web.Request) -> web.Response:
        self.calls.append(1)
        self.asked.set()
        await self.may_answer.wait()
        token = request.headers["Authorization"].removeprefix("Bearer ")
        return web.json_response(CARTS.get(token), status=self.status or (200 if token in CARTS else 401))

    async def _several(self, request: web.Request) -> web.Response:
        if self.previous_release:
            raise web.HTTPNotFound
        tokens = (await request.json())["tokens"]
        self.calls.append(len(tokens))
        return web.json_response({"carts": [CARTS.get(token) for token in tokens]}, status=self.status or 200)


@pytest.fixture
async def cart() -> FakeCart:
    return FakeCart()


@pytest.fixture
async def carts(cart: FakeCart) -> AsyncIterator[CartClient]:
    async with TestServer(cart.app) as server, HttpClient(str(server.make_url("")), name="cart") as http:
        yield CartClient(http)


async def read(carts: CartClient, *tokens: str) -> list[Cart | BaseException]:
    return await asyncio.gather(*(carts.read(token) for token in tokens), return_exceptions=True)


def found(n: int) -> Cart:
    return Cart(f"version-{n}", [("MUG-1", n)])


async def test_one_cart_is_read_as_any_client_reads_it(cart: FakeCart, carts: CartClient) -> None:
    assert await carts.read("token-1") == found(1)
    assert cart.calls == [1]


async def test_carts_that_are_wanted_during_a_call_are_read_in_the_next_one(cart: FakeCart, carts: CartClient) -> None:
    cart.may_answer.clear()
    first = asyncio.create_task(carts.read("token-1"))
    await cart.asked.wait()
    others = asyncio.create_task(read(carts, *(f"token-{n}" for n in range(2, 50))))
    await asyncio.sleep(0)
    cart.may_answer.set()

    assert await first == found(1)
    assert await others == [found(n) for n in range(2, 50)]
    assert cart.calls == [1, 48]


@pytest.mark.parametrize("previous_release", [False, True])
async def test_a_refused_token_concerns_no_other_order(
    cart: FakeCart, carts: CartClient, previous_release: bool
) -> None:
    cart.previous_release = previous_release

    before, refused, after = await read(carts, "token-1", "stolen", "token-2")

    assert isinstance(refused, Unavailable)
    assert (before, after) == (found(1), found(2))
    assert cart.calls == ([1, 1, 1] if previous_release else [3])


@pytest.mark.parametrize("status", [500, 503, 401, 413])
async def test_without_an_answer_each_order_is_told_so(cart: FakeCart, carts: CartClient, status: int) -> None:
    cart.status = status

    assert all(isinstance(each, Unavailable) for each in await read(carts, "token-1", "token-2"))
    assert set(cart.calls) == {2}
