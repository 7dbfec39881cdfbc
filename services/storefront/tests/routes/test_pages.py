"""What pages have in common: how long they may be kept, for whom, and what their header shows."""

import asyncio
import re

import pytest

from storefront.routes import pages

from .test_orders import ordered

SAME_FOR_ALL = ["/", "/c/home", "/search?q=mug", "/p/MUG-1", "/p/NONE"]


@pytest.mark.parametrize("path", SAME_FOR_ALL)
async def test_a_stranger_s_page_may_be_kept_by_the_edge(browser, path: str) -> None:
    async with browser() as ann:
        page = await ann.get(path)
    assert page.headers["Cache-Control"] == "public, max-age=0, s-maxage=2, stale-while-revalidate=5"
    assert page.headers["Vary"] == "Accept-Language, Cookie"
    assert "Set-Cookie" not in page.headers


@pytest.mark.parametrize("cookie", ["session=forged", "language=en", "other=1; session=x"])
@pytest.mark.parametrize("path", SAME_FOR_ALL)
async def test_a_page_for_someone_is_not_kept(browser, path: str, cookie: str) -> None:
    async with browser(Cookie=cookie) as ann:
        page = await ann.get(path)
    assert page.headers["Cache-Control"] == "private, no-cache"


async def test_a_page_that_reports_an_error_is_not_kept(browser) -> None:
    async with browser() as ann:
        page = await ann.get("/search?min=x")
    assert page.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("path", "down"),
    [
        ("/", "/api/catalog/categories"),
        ("/c/home", "/api/catalog/categories"),
        ("/search", "/api/catalog/categories"),
        ("/p/MUG-1", "/api/catalog/products"),
    ],
)
async def test_a_page_that_lacks_a_part_is_not_kept(browser, others, path: str, down: str) -> None:
    others.down.add(down)
    async with browser() as ann:
        page = await ann.get(path)
    assert (page.status_code, page.headers["Cache-Control"]) == (200, "private, no-cache")


@pytest.mark.parametrize("path", SAME_FOR_ALL)
async def test_a_page_does_not_depend_on_the_host(browser, path: str) -> None:
    """Else one request with a forged Host would put another address into everyone's pages."""
    async with browser(Host="elsewhere.example", **{"X-Forwarded-Host": "elsewhere.example"}) as ann:
        page = await ann.get(path)
    assert "elsewhere" not in page.text
    assert "elsewhere" not in str(page.headers)


async def test_its_main_part_begins_with_the_notice_that_the_edge_shows_on_an_old_page(browser) -> None:
    async with browser() as ann:
        page = await ann.get("/")
    assert re.search(r'<main id="main">\s*<p class="notice" data-stale hidden>', page.text)


@pytest.fixture
def patient_page(monkeypatch) -> None:
    """A page that waits for the number beside the cart, however busy the machine is."""
    monkeypatch.setattr(pages, "COUNT_TIMEOUT", 30)


@pytest.mark.usefixtures("patient_page")
async def test_the_header_shows_how_many_articles_the_cart_holds(browser, app, others) -> None:
    async with browser() as ann:
        await shop_with(ann, app, others, {"MUG-1": 3, "JAR-1": 1200})
        page = await ann.get("/")
    assert '<span id="count">1,203</span>' in page.text


@pytest.mark.usefixtures("patient_page")
async def test_a_page_that_answers_a_form_shows_it_too_and_a_redirect_asks_nobody(browser, app, others) -> None:
    async with browser() as ann:
        await shop_with(ann, app, others, {"MUG-1": 3})
        mistake = await ann.post("/checkout", data={})
        problem = await ann.post("/cart/items", content=b"{}", headers={"Content-Type": "application/json"})
        others.asked.clear()
        answer = await ann.post("/cart/items", data={"sku": "MUG-1", "quantity": "4"})
    assert [page.status_code for page in (mistake, problem)] == [422, 422]
    assert all('<span id="count">3</span>' in page.text for page in (mistake, problem))
    assert (answer.status_code, others.asked.count("GET /api/cart")) == (303, 0)


async def test_back_can_show_a_page_that_answers_a_form(browser, app, others) -> None:
    async with browser() as ann:
        await shop_with(ann, app, others, {"MUG-1": 3})
        pages = [await ann.post(path, data={}) for path in ("/checkout", "/cart/items", "/login", "/nowhere")]
    assert {page.headers["Cache-Control"] for page in pages} == {"private, no-cache"}


async def test_a_page_does_not_wait_for_a_cart_that_hangs(browser, app, others) -> None:
    async with browser() as ann:
        await shop_with(ann, app, others, {"MUG-1": 3})
        others.held["cart"] = asyncio.Event()
        others.asked.clear()
        page = await ann.get("/")
    assert others.asked.count("GET /api/cart") == 1  # there was no time for a second try
    assert '<span id="count"></span>' in page.text


@pytest.mark.parametrize("down", ["cart", "identity"])
async def test_without_the_cart_the_header_shows_no_number(browser, app, others, down: str) -> None:
    others.expires_in = 0  # so identity is asked for a new token
    async with browser() as ann:
        await shop_with(ann, app, others, {"MUG-1": 3})
        others.down.add(down)
        page = await ann.get("/")
    assert page.status_code == 200
    assert '<span id="count"></span>' in page.text


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("/p/MUG-1", "/login?to=%2Fp%2FMUG-1"),
        ("/search?q=a%26b", "/login?to=%2Fsearch%3Fq%3Da%2526b"),
        ("/nowhere", "/login?to=%2Fnowhere"),
        ("/login?to=/cart", "/login"),
        ("/register", "/login"),
    ],
)
async def test_the_login_returns_to_the_page(browser, path: str, link: str) -> None:
    async with browser() as ann:
        page = await ann.get(path)
    header = page.text.partition("<header")[2].partition("</header>")[0]
    assert f'<a href="{link}">Log in</a>' in header


async def shop_with(client, app, others, lines: dict[str, int]) -> None:
    """Gives a client the session of a guest whose cart has these lines."""
    from storefront.usecases.sessions import Visit

    given = app.state.parts
    visit = Visit(given.sessions, given.identity, None)
    token = await visit.token()
    others.carts[token] = lines
    await visit.keep()
    client.cookies.set("session", visit.id)


@pytest.mark.parametrize(
    ("language", "shown"), [("en", "Jan 1, 2026, 12:00:00\u202fAM UTC"), ("zh", "2026年1月1日 00:00:00 UTC")]
)
async def test_a_time_says_that_it_is_in_utc(browser, others, language: str, shown: str) -> None:
    """A script of the page shows it in the browser's own zone."""
    async with browser(**{"Accept-Language": language}) as ann:
        order = await ordered(ann, others)
        page = await ann.get(f"/orders/{order['id']}")
    assert f'<time datetime="2026-01-01T00:00:00+00:00">{shown}</time>' in page.text
