"""What the edge keeps for a moment, and what it compresses."""

import asyncio
from itertools import product
from pathlib import Path

import httpx2
import pytest

from .conftest import Edge, Upstream, held, nginx

PAGE = '<!doctype html><p class="notice" data-stale hidden>This page is old.</p>' + "<p>A product</p>" * 100
FOR_ALL = {"Cache-Control": "public, max-age=0, s-maxage=100", "Vary": "Accept-Language, Cookie"}
SOON_OLD = FOR_ALL | {"Cache-Control": "public, max-age=0, s-maxage=1"}
RENEWED = "public, max-age=0, s-maxage=1, stale-while-revalidate={}"
FAILURES = [500, 502, 503, 504]
READERS: list[dict[str, str]] = [
    {},
    {"Cookie": "session=x"},
    {"Cookie": "other=1"},
    {"Cookie": "language=en"},
    {"Authorization": "Bearer x"},
]


def cached(edge: Edge, service: str = "catalog") -> None:
    edge.upstreams[service].headers = {"Cache-Control": "public, max-age=100"}


CACHED = [
    ("/api/catalog/products", "catalog"),
    ("/api/catalog/products/MUG-1", "catalog"),
    ("/", "storefront"),
    ("/p/MUG-1", "storefront"),
    ("/c/home", "storefront"),
    ("/search", "storefront"),
    ("/static/0/shop.css", "storefront"),
]


async def states(edge: Edge, target: str, **options: object) -> list[str]:
    """Returns what X-Cache says to two requests, one after the other."""
    return [(await edge.client.get(target, **options)).headers.get("X-Cache", "") for _ in range(2)]


@pytest.mark.parametrize(("target", "service"), CACHED)
async def test_an_answer_for_everyone_is_kept(edge: Edge, target: str, service: str) -> None:
    cached(edge, service)
    assert await states(edge, target) == ["MISS", "HIT"]
    assert await states(edge, f"{target}?q=x") == ["MISS", "HIT"]
    assert edge.upstreams[service].answered == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer x"},
        {"Cookie": "session=x"},
        {"Cookie": "a=b; session=x; c=d"},
    ],
)
async def test_a_request_that_names_its_sender_bypasses_the_cache(edge: Edge, headers: dict[str, str]) -> None:
    cached(edge)
    assert await states(edge, "/api/catalog/products", headers=headers) == ["BYPASS", "BYPASS"]
    assert await states(edge, "/api/catalog/products") == ["MISS", "HIT"]  # nothing of it was kept
    assert await states(edge, "/api/catalog/products", headers=headers) == ["BYPASS", "BYPASS"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Cache-Control": "private, no-cache"},
        {"Cache-Control": "no-store"},
        {"Cache-Control": "public, max-age=100", "Set-Cookie": "a=b"},
        {},
    ],
)
async def test_a_private_answer_is_not_kept(edge: Edge, headers: dict[str, str]) -> None:
    edge.upstreams["storefront"].headers = headers
    assert await states(edge, "/p/MUG-1") == ["MISS", "MISS"]


@pytest.mark.parametrize("target", ["/api/cart", "/api/orders", "/.well-known/jwks.json", "/cart", "/login"])
async def test_nothing_else_is_kept(edge: Edge, target: str) -> None:
    for service in ("cart", "order", "identity", "storefront"):
        cached(edge, service)
    assert await states(edge, target) == ["", ""]


async def test_requests_for_a_personal_page_do_not_wait_for_each_other(patient: Edge) -> None:
    async with held(patient, "GET", "/cart", "storefront", 20):
        pass


async def test_hosts_and_languages_do_not_share_a_page(edge: Edge) -> None:
    edge.upstreams["storefront"].headers = FOR_ALL
    assert await states(edge, "/", headers={"Accept-Language": "en"}) == ["MISS", "HIT"]
    assert await states(edge, "/", headers={"Accept-Language": "zh"}) == ["MISS", "HIT"]
    assert await states(edge, "/", headers={"Accept-Language": "en", "Host": "elsewhere"}) == ["MISS", "HIT"]


@pytest.mark.parametrize(
    ("headers", "language"),
    [
        ({"Accept-Language": "en-GB,en;q=0.9"}, "en"),
        ({"Accept-Language": "de-DE,de;q=0.9,fr;q=0.8"}, "en"),
        ({"Accept-Language": "de,en;q=0.8,zh;q=0.7"}, "en"),
        ({"Cookie": "other=1; theme=zh"}, "en"),
        ({"Cookie": "language=xx"}, "en"),
        ({"Accept-Language": "zh-CN", "Cookie": "language=en"}, "en"),
        ({"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}, "zh-Hans"),
        ({"Accept-Language": "de, ZH-TW;q=0.8, en;q=0.7"}, "zh-Hans"),
        ({"Accept-Language": "en", "Cookie": "a=b; language=zh-Hans"}, "zh-Hans"),
    ],
)
async def test_strangers_of_one_language_share_a_page(edge: Edge, headers: dict[str, str], language: str) -> None:
    edge.upstreams["storefront"].headers = FOR_ALL
    first = await edge.client.get("/", headers={"Accept-Language": language})
    assert first.json()["headers"]["accept-language"] == language
    shared = await edge.client.get("/", headers=headers)
    assert (shared.headers["X-Cache"], shared.text) == ("HIT", first.text)


async def test_a_page_for_everyone_depends_on_nothing_else_that_its_first_reader_sends(edge: Edge) -> None:
    edge.upstreams["storefront"].headers = FOR_ALL
    sent = {"Cookie": "other=1; language=en", "X-Request-Timeout-Ms": "8", "X-Forwarded-For": "10.0.0.1"}
    page = await edge.client.get("/p/MUG-1", headers=sent)
    seen = page.json()["headers"]
    assert "cookie" not in seen
    assert seen["x-request-timeout-ms"] == "3500"
    personal = await edge.client.get("/p/MUG-1", headers=sent | {"Cookie": "session=x; other=1"})
    seen = personal.json()["headers"]
    assert (seen["cookie"], seen["x-request-timeout-ms"]) == ("session=x; other=1", "8")


@pytest.mark.parametrize("target", ["/static/0/shop.css", "/pictures/mug-1-1.svg"])
async def test_files_are_kept_for_visitors_with_a_session_too(edge: Edge, target: str) -> None:
    edge.upstreams["storefront"].headers = {"Cache-Control": "public, max-age=100"}
    assert await states(edge, target, headers={"Cookie": "session=x"}) == ["MISS", "HIT"]


async def test_of_many_requests_at_once_one_reaches_the_service(
    run_folder: Path, upstreams: dict[str, Upstream]
) -> None:
    """On a slow machine, an answer may take longer than the others wait for it; here they wait longer."""
    longer = {"proxy_cache_lock_timeout 200ms;": "proxy_cache_lock_timeout 1m;"}
    async with nginx(run_folder, upstreams, {}, longer) as edge:
        cached(edge)
        edge.upstreams["catalog"].delay = 0.3
        await asyncio.gather(*(edge.client.get("/api/catalog/products") for _ in range(20)))
        assert edge.upstreams["catalog"].answered == 1


async def test_an_old_answer_of_the_api_is_given_only_while_another_request_renews_it(patient: Edge) -> None:
    catalog, target = patient.upstreams["catalog"], "/api/catalog/products?hold=1"
    catalog.headers = {"Cache-Control": "public, max-age=1, stale-while-revalidate=100"}
    catalog.release.set()
    await patient.client.get(target)
    catalog.release.clear()
    await asyncio.sleep(2.1)  # nginx counts in whole seconds
    renewing = asyncio.create_task(patient.client.get(target))
    async with asyncio.timeout(15):
        while not catalog.open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    others = [await patient.client.get(target) for _ in range(9)]
    catalog.release.set()
    assert (await renewing).headers["X-Cache"] == "EXPIRED"
    assert {each.headers["X-Cache"] for each in others} == {"UPDATING"}


async def test_a_page_is_renewed_in_the_background_and_needs_no_notice(edge: Edge) -> None:
    storefront = edge.upstreams["storefront"]
    storefront.page, storefront.headers = PAGE, {"Cache-Control": RENEWED.format(100)}
    await edge.client.get("/p/MUG-1")
    storefront.page, storefront.delay = PAGE + "new", 0.3
    await asyncio.sleep(2.1)
    old = await edge.client.get("/p/MUG-1")
    assert "data-stale hidden>" in old.text
    assert "new" not in old.text
    async with asyncio.timeout(15):
        while "new" not in (await edge.client.get("/p/MUG-1")).text:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_page_that_nobody_asked_for_in_a_while_is_not_given_away_old(edge: Edge) -> None:
    storefront = edge.upstreams["storefront"]
    storefront.page, storefront.headers = PAGE, {"Cache-Control": RENEWED.format(3)}
    await edge.client.get("/p/MUG-1")
    storefront.page, storefront.delay = PAGE + "new", 0.5
    await asyncio.sleep(5.1)
    answers = await asyncio.gather(*(edge.client.get("/p/MUG-1") for _ in range(5)))
    assert all("new" in each.text for each in answers)


async def test_requests_for_an_answer_that_is_not_kept_hardly_wait_for_each_other(edge: Edge) -> None:
    """If each waited for the one before, some would get no answer in time."""
    edge.upstreams["catalog"].status = 404
    async with held(edge, "GET", "/api/catalog/products/NO-SUCH", "catalog", 10):
        pass


async def test_everybody_gets_a_page_with_a_notice_while_its_service_fails(edge: Edge) -> None:
    storefront = edge.upstreams["storefront"]
    storefront.page, storefront.headers = PAGE, SOON_OLD
    fresh = await edge.client.get("/p/MUG-1")
    assert (fresh.status_code, fresh.headers["X-Cache"]) == (200, "MISS")
    assert "data-stale hidden>" in fresh.text

    storefront.page, storefront.headers = "", {}
    await asyncio.sleep(2.1)
    for storefront.status, reader in product(FAILURES, READERS):
        stale = await edge.client.get("/p/MUG-1", headers=reader)
        assert (stale.status_code, stale.headers["X-Cache"]) == (200, "STALE"), (storefront.status, reader)
        assert "data-stale>" in stale.text
        assert (await edge.client.get("/p/MUG-2", headers=reader)).status_code == storefront.status


async def test_a_failure_shows_nobody_the_page_of_another_visitor(edge: Edge) -> None:
    storefront = edge.upstreams["storefront"]
    storefront.page, storefront.headers = PAGE + "Ann", {"Cache-Control": "private, no-cache"}
    await edge.client.get("/p/MUG-1", headers={"Cookie": "session=ann"})
    storefront.status = 503
    for reader in ({}, {"Cookie": "session=ann"}, {"Cookie": "session=ben"}):
        answer = await edge.client.get("/p/MUG-1", headers=reader)
        assert (answer.status_code, answer.headers["X-Cache"]) == (503, "MISS")


async def test_an_answer_of_the_api_is_not_given_while_its_service_fails(edge: Edge) -> None:
    catalog = edge.upstreams["catalog"]
    catalog.headers = {"Cache-Control": "public, max-age=1, stale-while-revalidate=10"}
    await edge.client.get("/api/catalog/products")
    catalog.headers, catalog.status = {}, 503
    await asyncio.sleep(2.1)
    assert (await edge.client.get("/api/catalog/products")).status_code == 503


async def test_text_is_compressed_and_json_keeps_its_strong_etag(edge: Edge) -> None:
    edge.upstreams["storefront"].page = PAGE
    page = await edge.client.get("/", headers={"Accept-Encoding": "gzip"})
    assert page.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in page.headers["Vary"]

    edge.upstreams["catalog"].headers = {"ETag": '"1"', "X-Long": "x" * 1000}
    product = await edge.client.get("/api/catalog/products/MUG-1", headers={"Accept-Encoding": "gzip"})
    assert product.headers["ETag"] == '"1"'
    assert "Content-Encoding" not in product.headers


async def test_the_answer_of_another_method_is_not_kept(edge: Edge) -> None:
    cached(edge)
    answers: list[httpx2.Response] = [await edge.client.post("/api/catalog/products") for _ in range(2)]
    assert [each.json()["method"] for each in answers] == ["POST", "POST"]
    assert (await states(edge, "/api/catalog/products")) == ["MISS", "HIT"]
