"""Loading the demo catalog goes on when the shop is busy, and says what the shop answered when it gives up."""

from collections import Counter

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from shopctl import demo, shelves

PRODUCTS = [product for category in demo.load() for product in category.products]


class Shop:
    """Answers the first `refusals` tries of each request with `status`."""

    def __init__(self, status: int, refusals: int) -> None:
        self.status = status
        self.refusals = refusals
        self.tries: Counter[tuple[str, str]] = Counter()
        self.created: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        content = await request.text()
        request_id = (request.path, content)
        self.tries[request_id] += 1
        if self.tries[request_id] <= self.refusals:
            return web.Response(status=self.status, headers={"Retry-After": "0"}, text="too busy")
        if request.path == "/api/identity/token":
            return web.json_response({"access_token": "a-token"})
        if request.method == "POST":
            self.created.append(content)
        return web.json_response({"sku": "made"}, status=201)


async def fill(shop: Shop) -> int:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", shop.answer)
    async with TestServer(app) as server:
        return await shelves.fill(str(server.make_url("/")), ("admin@quayside.example", "a password"))


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_shop_is_asked_again(status: int) -> None:
    shop = Shop(status, refusals=1)
    assert await fill(shop) == len(PRODUCTS)
    assert len(shop.created) == len(PRODUCTS)


async def test_a_shop_that_stays_busy_is_an_error_with_its_answer() -> None:
    with pytest.raises(shelves.Refused, match="POST /api/identity/token: 503 too busy"):
        await fill(Shop(503, refusals=shelves.TRIES))


async def test_other_refusals_are_not_repeated() -> None:
    shop = Shop(500, refusals=1)
    with pytest.raises(shelves.Refused, match="500"):
        await fill(shop)
    assert set(shop.tries.values()) == {1}
