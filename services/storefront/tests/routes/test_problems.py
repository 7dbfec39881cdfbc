"""Problems as pages."""

import re
from collections.abc import Callable

import pytest
from fastapi import FastAPI

from chassis.errors import Conflict, Forbidden, NotFound, Problem, TooManyRequests, Unavailable
from storefront.routes.visits import Visiting
from storefront.usecases.remote import Refused


@pytest.fixture
def fail_with(app: FastAPI) -> Callable[[Exception], None]:
    """Makes GET and POST of /trouble raise this error."""
    errors: list[Exception] = []

    async def trouble(_: Visiting) -> None:
        raise errors[-1]

    app.add_api_route("/trouble", trouble, methods=["GET", "POST"])
    return errors.append


@pytest.mark.parametrize(
    ("error", "title", "way"),
    [
        (NotFound("unknown-sku", "English", "English"), "We do not sell this product", "/search"),
        (NotFound("unknown-widget", "English", "English"), "This page does not exist", "/search"),
        (Forbidden("scope-required", "English", "English"), "This page is for staff only", "/login?to=%2Ftrouble"),
        (Refused(409, "cart-changed", "English", "English"), "Your cart has changed", "/cart"),
        (Conflict("unheard-of", "English", "English"), "Something has changed in the meantime", "/trouble"),
        (Refused(422, "cart-full", "English", "English"), "Your cart is full", "/cart"),
        (TooManyRequests("many", "English", "English"), "That was a little fast", "/trouble"),
        (Unavailable("cart-unavailable", "English", "English"), "The cart cannot be reached", "/trouble"),
        (Unavailable("unheard-of", "English", "English"), "A part of the shop cannot be reached", "/trouble"),
        (Problem("unheard-of", "English", "English"), "Something went wrong on our side", "/trouble"),
        (ValueError("English"), "Something went wrong on our side", "/trouble"),
    ],
)
async def test_a_problem_has_our_own_words_and_a_way_on(browser, fail_with, error: Exception, title, way) -> None:
    fail_with(error)
    async with browser() as ann:
        page = await ann.get("/trouble")
    assert page.status_code == getattr(error, "status", 500)
    assert f"<title>{title}" in page.text
    assert f'="{way}"' in page.text.partition("<main")[2]
    assert "English" not in page.text.replace(">English</button>", "")


async def test_it_is_translated(browser, fail_with) -> None:
    fail_with(Unavailable("cart-unavailable", "English", "English", retry_after=120))
    async with browser(**{"Accept-Language": "zh"}) as ann:
        page = await ann.get("/trouble")
    assert "购物车暂时无法使用" in page.text
    assert "请在2分钟后重试" in page.text


async def test_what_only_the_service_can_explain_is_shown_in_its_words(browser, fail_with) -> None:
    fail_with(Refused(422, "invalid-request", "It is <b>wrong</b>", "Correct it.", errors=[]))
    async with browser(**{"Accept-Language": "zh"}) as ann:
        page = await ann.get("/trouble")
    assert page.status_code == 422
    assert '<h1 lang="en">It is &lt;b&gt;wrong&lt;/b&gt;</h1>' in page.text


async def test_a_failing_part_tells_that_nothing_is_lost_and_when_to_try_again(browser, fail_with) -> None:
    fail_with(Unavailable("order-unavailable", "English", "English", retry_after=30))
    async with browser() as ann:
        page = await ann.get("/trouble")
    assert page.headers["Retry-After"] == "30"
    assert "Your cart and your orders are safe." in page.text
    assert "You can try again in 30 seconds." in page.text


async def test_after_a_form_the_way_back_is_the_page_with_the_form(browser, fail_with) -> None:
    fail_with(Unavailable("cart-unavailable", "English", "English"))
    async with browser(Referer="http://test/p/MUG-1?x=%22") as ann:
        page = await ann.post("/trouble")
    assert '<a class="button" href="/p/MUG-1?x=%22">' in page.text


@pytest.mark.parametrize(
    "referer", ["http://elsewhere/p", "http://test.evil/", "http://[", "//test//x", "javascript:x"]
)
async def test_the_way_back_never_leads_elsewhere(browser, fail_with, referer: str) -> None:
    fail_with(Unavailable("cart-unavailable", "English", "English"))
    async with browser(Referer=referer) as ann:
        page = await ann.post("/trouble")
    assert '<a class="button" href="/">' in page.text


@pytest.mark.parametrize("path", ["/nowhere", "/trouble", "/logout", "/"])
async def test_head_has_the_headers_of_get(browser, fail_with, path: str) -> None:
    fail_with(Unavailable("cart-unavailable", "English", "English"))
    async with browser() as ann:
        page, head = await ann.get(path), await ann.head(path)
    assert (head.status_code, head.text) == (page.status_code, "")
    assert head.headers["Content-Type"] == page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert head.headers["Content-Length"] == page.headers["Content-Length"]


async def test_a_wrong_method_is_a_page_that_lists_the_others(browser) -> None:
    async with browser() as ann:
        page = await ann.get("/language")
    assert (page.status_code, page.headers["Allow"]) == (405, "POST")
    assert "There is nothing to see here" in page.text


async def test_programs_get_the_problem_itself(browser, fail_with) -> None:
    fail_with(NotFound("unknown-sku", "No such product", "Look elsewhere."))
    async with browser(Accept="application/json") as program:
        answer = await program.get("/trouble")
    assert (answer.status_code, answer.json()["title"]) == (404, "No such product")


async def test_no_cache_keeps_the_page_because_programs_get_something_else_there(browser, fail_with) -> None:
    fail_with(NotFound("unknown-sku", "No such product", "Look elsewhere."))
    async with browser() as ann:
        page = await ann.get("/trouble")
    assert page.headers.get_list("Cache-Control") == ["no-store"]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_without_valkey_it_is_the_same_page(browser, fail_with, app: FastAPI, monkeypatch, method: str) -> None:
    async def unavailable(*_: object) -> None:
        raise Unavailable("session-unavailable", "Sessions cannot be reached", "Try again in a second.")

    fail_with(Unavailable("session-unavailable", "English", "English"))
    monkeypatch.setattr(app.state.parts.sessions._valkey, "execute", unavailable)
    async with browser(Cookie="session=x") as ann:
        for path, status in (("/trouble", 503), ("/nowhere", 404)):
            page = await ann.request(method, path)
            assert page.status_code == status
            assert len(re.findall("<h1", page.text)) == 1


async def test_a_page_that_fails_leaves_the_problem(browser, fail_with, app: FastAPI, monkeypatch) -> None:
    fail_with(NotFound("unknown-sku", "No such product", "Look elsewhere."))
    monkeypatch.setattr(app.state.parts.pages, "_environments", {})
    async with browser() as ann:
        answer = await ann.get("/trouble")
    assert (answer.status_code, answer.json()["title"]) == (404, "No such product")
