"""The session cookie: when a browser gets it, and when it forgets it."""

import asyncio

import pytest
import redis
from pydantic import SecretStr

from chassis.testing.apps import client_of, started
from chassis.testing.cable import Cable
from storefront.main import create

EMAIL = "ann@example.com"
LOGIN = {"email": EMAIL, "password": "correct horse"}
FORGET = 'session=""; expires='


@pytest.fixture
def stored(valkey: str):
    with redis.Redis.from_url(valkey) as client:
        yield client


@pytest.mark.parametrize("path", ["/cart/items", "/cart/items/add"])
async def test_a_stranger_whose_change_is_refused_gets_no_session(browser, stored, path: str) -> None:
    async with browser() as ann:
        answer = await ann.post(path, data={"sku": "NO-SUCH", "quantity": "1", "key": "k"})
    assert answer.status_code == 404
    assert "Set-Cookie" not in answer.headers
    assert all(0 < stored.ttl(key) <= 60 for key in stored.keys("*"))  # the keys of forms


@pytest.mark.parametrize("path", ["/cart/items", "/cart/items/add"])
async def test_a_guest_gets_a_session_with_the_first_change(browser, path: str) -> None:
    async with browser() as ann:
        answer = await ann.post(path, data={"sku": "MUG-1", "quantity": "1", "key": "k"})
        assert answer.status_code == 303
        assert "A mug" in (await ann.get("/cart")).text


@pytest.mark.parametrize("path", ["/", "/cart", "/no-such-page"])
async def test_a_cookie_that_opens_nothing_is_forgotten(browser, path: str) -> None:
    async with browser(Cookie="session=forged") as ann:
        answer = await ann.get(path)
    assert answer.headers["Set-Cookie"].startswith(FORGET)


async def test_an_id_that_has_just_ended_is_not_forgotten_because_the_browser_may_have_another(browser, others) -> None:
    others.accounts[EMAIL] = "Ann"
    async with browser() as ann:
        await ann.post("/cart/items", data={"sku": "MUG-1", "quantity": "1"})
        before = ann.cookies["session"]
        await ann.post("/login", data=LOGIN)
    async with browser(Cookie=f"session={before}") as slow:
        assert "Set-Cookie" not in (await slow.get("/")).headers


async def test_without_valkey_no_cookie_is_forgotten(valkey, settings) -> None:
    async with Cable(valkey) as cable:
        torn = settings.model_copy(update={"valkey_url": SecretStr(cable.url)})
        async with started(create(torn)) as app, client_of(app, headers={"Cookie": "session=forged"}) as ann:
            await cable.cut()
            answer = await ann.get("/")
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers


async def test_a_refused_session_that_cannot_be_ended_is_a_failure_and_no_endless_redirect(
    valkey, settings, others, problem
) -> None:
    others.refused["/api/orders"] = problem(401, "invalid-token")
    others.held["order"] = asyncio.Event()
    async with Cable(valkey) as cable:
        torn = settings.model_copy(update={"valkey_url": SecretStr(cable.url)})
        async with started(create(torn)) as app, client_of(app, headers={"Accept": "text/html"}) as ann:
            await ann.post("/cart/items", data={"sku": "MUG-1", "quantity": "1"})
            loading = asyncio.ensure_future(ann.get("/orders"))
            await others.hear("GET /api/orders")
            await cable.cut()
            others.held["order"].set()
            page = await loading
    assert page.status_code == 503


async def test_a_guests_orders_are_still_there_after_login_and_logout(browser, others) -> None:
    others.accounts[EMAIL] = "Ann"
    async with browser() as ann:
        await ann.post("/cart/items", data={"sku": "MUG-1", "quantity": "1"})
        id = "0198a4e0-0000-7000-8000-000000000001"
        others.orders["k"] = ORDER | {"id": id, "owner": "guest-1"}
        await ann.post("/login", data=LOGIN)
        assert (await ann.get(f"/orders/{id}")).status_code == 200
        await ann.post("/logout")
        assert (await ann.get(f"/orders/{id}")).status_code == 200
        assert 'href="/login?to=%2Forders"' in (await ann.get("/orders")).text


async def test_a_cart_that_is_down_at_the_login_is_merged_when_it_is_shown(browser, others) -> None:
    others.accounts[EMAIL] = "Ann"
    async with browser() as ann:
        await ann.post("/cart/items", data={"sku": "MUG-1", "quantity": "3"})
        others.down.add("cart")
        assert (await ann.post("/login", data=LOGIN)).status_code == 303
        others.down.clear()
        assert "A mug" in (await ann.get("/cart")).text
    assert others.carts[f"account-{EMAIL}-1"] == {"MUG-1": 3}


ORDER = {
    "status": "PENDING",
    "total": {"amount": 1250, "currency": "EUR"},
    "lines": [],
    "shipping_address": {"name": "Ann", "line1": "1 Quay", "city": "Hull", "postal_code": "HU1", "country": "GB"},
    "created_at": "2026-01-01T00:00:00Z",
    "expires_at": "2026-01-01T00:15:00Z",
    "history": [{"seq": 1, "status": "PENDING", "at": "2026-01-01T00:00:00Z"}],
}
