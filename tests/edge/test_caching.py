"""What the edge keeps for a moment, and what it compresses."""

import asyncio

import httpx2
import pytest

from .conftest import Edge

PAGE = '<!doctype html><p class="notice" data-stale hidden>This page is old.</p>' + "<p>A product</p>" * 100
FOR_ALL = {"Cache-Control": "public, max-age=0, s-maxage=1"}


def cached(edge: Edge, service: str = "catalog") -> None:
    edge.upstreams[service].headers = {"Cache-Control": "public, max-age=1"}


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
        {"Cookie": "language=zh-Hans"},
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
        {"Cache-Control": "public, max-age=1", "Set-Cookie": "a=b"},
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


async def test_requests_for_a_personal_page_do_not_wait_for_each_other(edge: Edge) -> None:
    edge.upstreams["storefront"].delay = 0.5
    await asyncio.wait_for(asyncio.gather(*(edge.client.get("/cart") for _ in range(20))), 5)


async def test_hosts_and_languages_do_not_share_an_answer(edge: Edge) -> None:
    edge.upstreams["storefront"].headers = FOR_ALL | {"Vary": "Accept-Language, Cookie"}
    assert await states(edge, "/", headers={"Accept-Language": "en"}) == ["MISS", "HIT"]
    assert await states(edge, "/", headers={"Accept-Language": "zh"}) == ["MISS", "HIT"]
    assert await states(edge, "/", headers={"Accept-Language": "en", "Host": "elsewhere"}) == ["MISS", "HIT"]
    assert await states(edge, "/", headers={"Accept-Language": "en", "Cookie": "other=1"}) == ["MISS", "HIT"]


async def test_of_many_requests_at_once_one_reaches_the_service(edge: Edge) -> None:
    cached(edge)
    edge.upstreams["catalog"].delay = 0.3
    await asyncio.gather(*(edge.client.get("/api/catalog/products") for _ in range(20)))
    assert edge.upstreams["catalog"].answered == 1


async def test_an_old_answer_is_given_only_while_another_request_renews_it(edge: Edge) -> None:
    cached(edge)
    await edge.client.get("/api/catalog/products")
    edge.upstreams["catalog"].delay = 0.5
    await asyncio.sleep(2.1)  # nginx counts in whole seconds
    answers = await asyncio.gather(*(edge.client.get("/api/catalog/products") for _ in range(10)))
    assert sorted(each.headers["X-Cache"] for each in answers) == ["EXPIRED"] + ["UPDATING"] * 9


async def test_a_page_is_shown_with_a_notice_while_its_service_fails(edge: Edge) -> None:
    storefront = edge.upstreams["storefront"]
    storefront.page, storefront.headers = PAGE, FOR_ALL
    fresh = await edge.client.get("/p/MUG-1")
    storefront.page, storefront.headers, storefront.status = "", {}, 503
    await asyncio.sleep(2.1)
    stale = await edge.client.get("/p/MUG-1")

    assert (fresh.status_code, fresh.headers["X-Cache"], stale.headers["X-Cache"]) == (200, "MISS", "STALE")
    assert "data-stale hidden>" in fresh.text
    assert "data-stale>" in stale.text
    assert (await edge.client.get("/p/MUG-2")).status_code == 503


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
