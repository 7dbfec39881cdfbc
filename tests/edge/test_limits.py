"""How many requests the edge lets through, and its own errors for browsers."""

import asyncio
import base64
import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import httpx2
import pytest

from .conftest import NAMED, PER_MINUTE, Edge, Upstream, free_port, full, nginx

FEW = {"RATE_LIMIT": "on", "RATE_LIMIT_PER_SECOND": "1", "RATE_LIMIT_BURST": "4", "RATE_LIMIT_PER_ADDRESS": "1000"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def counts(edge: Edge, requests: int, **headers: str) -> Counter[int]:
    answers = await asyncio.gather(*(edge.client.get("/api/orders/1", headers=headers) for _ in range(requests)))
    return Counter(each.status_code for each in answers)


@pytest.mark.parametrize("key", ["Authorization", "Cookie"])
@pytest.mark.parametrize("length", [40, 700])
async def test_each_client_has_its_own_limit(
    run_folder: Path, upstreams: dict[str, Upstream], key: str, length: int
) -> None:
    def named(name: str) -> dict[str, str]:
        return {key: f"Bearer {name * length}" if key == "Authorization" else f"session={name * length}"}

    async with nginx(run_folder, upstreams, FEW, PER_MINUTE) as edge:
        assert (await counts(edge, 12, **named("a")))[200] == 5
        assert (await counts(edge, 3, **named("b"))) == {200: 3}
        assert (await counts(edge, 3)) == {200: 3}
        assert (await counts(edge, 12))[200] == 2


async def test_invented_names_do_not_escape_the_limit_of_an_address(
    run_folder: Path, upstreams: dict[str, Upstream]
) -> None:
    async with nginx(run_folder, upstreams, FEW | {"RATE_LIMIT_PER_ADDRESS": "5"}, PER_MINUTE) as edge:
        tries = [counts(edge, 1, Authorization=f"Bearer {n:040}") for n in range(40)]
        found = sum(await asyncio.gather(*tries), Counter[int]())
    assert found[429] > 20


@pytest.mark.parametrize("path", ["/cart/items", "/language", "/checkout"])
async def test_forms_count_by_address_whatever_session_they_name(
    run_folder: Path, upstreams: dict[str, Upstream], path: str
) -> None:
    async with nginx(run_folder, upstreams, FEW, PER_MINUTE) as edge:
        sent = [edge.client.post(path, headers={"Cookie": f"session={n:043}"}) for n in range(20)]
        found = Counter(each.status_code for each in await asyncio.gather(*sent))
    assert found[200] == 5


PASSWORDS = [
    "/login",
    "/register",
    "/account",
    "/api/identity/token",
    "/api/identity/accounts",
    "/api/identity/password",
]


@pytest.mark.parametrize("path", PASSWORDS)
async def test_passwords_have_a_limit_of_their_own_by_address(
    run_folder: Path, upstreams: dict[str, Upstream], path: str
) -> None:
    limits = {"RATE_LIMIT": "on"}
    async with nginx(run_folder, upstreams, limits, PER_MINUTE) as edge:
        sent = [edge.client.post(path, headers={"Authorization": f"Bearer {n:040}"}) for n in range(100)]
        found = Counter(each.status_code for each in await asyncio.gather(*sent))
        assert 50 < found[200] < 55
        assert (await edge.client.get("/login")).status_code == 200
        assert (await edge.client.post("/api/identity/guests")).status_code == 200


async def test_a_refused_client_is_told_when_to_come_back(run_folder: Path, upstreams: dict[str, Upstream]) -> None:
    async with nginx(run_folder, upstreams, FEW, PER_MINUTE) as edge:
        await counts(edge, 12)
        refused = await edge.client.get("/api/cart")
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        assert refused.json()["type"].endswith("/too-many-requests")
        assert (await edge.client.get("/health/edge")).status_code == 200


@pytest.mark.parametrize("name", [{}, {"Authorization": "Bearer abc"}, {"Cookie": "session=abc"}])
async def test_without_limits_everything_passes(
    run_folder: Path, upstreams: dict[str, Upstream], name: dict[str, str]
) -> None:
    async with nginx(run_folder, upstreams, FEW | {"RATE_LIMIT": "off"}) as edge:
        assert await counts(edge, 100, **name) == {200: 100}


BOUNDED = [
    ("POST", "/api/orders", "order"),
    ("PUT", "/api/cart/items/MUG-1", "cart"),
    ("POST", "/api/identity/guests", "identity"),
    ("GET", "/checkout", "storefront"),
    ("GET", "/", "storefront"),
    ("GET", "/p/MUG-1", "storefront"),
    ("GET", "/api/catalog/products", "catalog"),
    ("GET", "/api/orders", "order"),
]
NEVER_REFUSED = ["GET /api/orders/1", "POST /api/orders/1/cancel", "GET /orders/1", "POST /api/payments/webhooks/psp"]


@pytest.mark.parametrize(("method", "path", "service"), BOUNDED)
async def test_a_service_gets_no_more_of_a_kind_than_its_bound_at_the_same_time(
    patient: Edge, method: str, path: str, service: str
) -> None:
    async with full(patient, method, path, service):
        for _ in range(2):
            refused = await patient.client.request(method, path, headers=NAMED)
            assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (503, "overloaded")
            assert refused.headers["Retry-After"] in {"1", "2", "3", "4"}
        assert patient.upstreams[service].open == 64
        for call in NEVER_REFUSED:
            assert (await patient.client.request(*call.split(" "))).status_code == 200
    assert (await patient.client.request(method, path, headers=NAMED)).status_code == 200


async def test_a_browser_that_is_refused_gets_a_page(patient: Edge) -> None:
    async with full(patient, "GET", "/checkout", "storefront"):
        page = await patient.client.get("/checkout", headers=BROWSER)
    assert (page.status_code, page.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert "Very many people are shopping right now" in page.text


async def test_a_reader_with_a_session_who_is_refused_gets_the_copy_of_a_page(patient: Edge) -> None:
    patient.upstreams["storefront"].headers = {"Cache-Control": "public, s-maxage=1"}
    copy = await patient.client.get("/p/MUG-1")
    async with full(patient, "GET", "/", "storefront"):
        page = await patient.client.get("/p/MUG-1", headers={"Cookie": "session=x"})
        assert patient.upstreams["storefront"].answered == 1
    assert (page.status_code, page.text) == (200, copy.text)


@pytest.mark.parametrize("reader", [{}, {"Cookie": "session=x"}])
async def test_a_page_that_the_storefront_refuses_is_not_asked_for_again(edge: Edge, reader: dict[str, str]) -> None:
    storefront = edge.upstreams["storefront"]
    storefront.status, storefront.type = 503, "application/problem+json"
    page = await edge.client.get("/p/MUG-1", headers=BROWSER | reader)
    assert (page.status_code, page.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert page.headers["Retry-After"]
    assert storefront.answered == 1


async def test_an_address_gets_only_a_part_of_the_places_of_a_kind(
    run_folder: Path, upstreams: dict[str, Upstream]
) -> None:
    """A place is held even by a request whose body does not come."""
    settings = {"RATE_LIMIT": "on", "EDGE_TRUSTED_PROXIES": "set_real_ip_from 127.0.0.1;"}
    async with nginx(run_folder, upstreams, settings) as edge:
        slow = [(await asyncio.open_connection("127.0.0.1", edge.port))[1] for _ in range(100)]
        for writer in slow:
            writer.write(b"POST /api/orders HTTP/1.1\r\nHost: edge\r\nContent-Length: 9\r\n\r\n")
        async with asyncio.timeout(5):
            while (await edge.client.post("/api/orders")).status_code != 503:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (await edge.client.get("/api/orders", headers=NAMED)).status_code == 200
        assert (await edge.client.post("/api/identity/guests")).status_code == 200
        assert (await edge.client.post("/api/orders", headers={"X-Forwarded-For": "10.0.0.1"})).status_code == 200
        for writer in slow:
            writer.close()


ENGLISH, CHINESE = {"Accept-Language": "en-GB,en"}, {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}


@pytest.mark.parametrize(
    ("headers", "language", "text"),
    [
        (ENGLISH, "en", "Your cart and your orders are safe"),
        (CHINESE, "zh-Hans", "您的购物车和订单不会丢失"),
        (CHINESE | {"Cookie": "language=en"}, "en", "Your cart and your orders are safe"),
        (ENGLISH | {"Cookie": "language=zh-Hans"}, "zh-Hans", "您的购物车和订单不会丢失"),
        ({}, "en", "Your cart and your orders are safe"),
    ],
)
async def test_a_browser_gets_a_page_in_its_language(
    run_folder: Path, upstreams: dict[str, Upstream], headers: Mapping[str, str], language: str, text: str
) -> None:
    dead = {"STOREFRONT_SERVERS": f"server 127.0.0.1:{free_port()};"}
    async with nginx(run_folder, upstreams, dead) as edge:
        page = await edge.client.get("/", headers=BROWSER | headers)
    assert (page.status_code, page.headers["Retry-After"]) == (503, "1")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert f'<html lang="{language}">' in page.text
    assert text in page.text


@pytest.mark.parametrize(("path", "status"), [("/api", 404), ("/metrics", 404)])
async def test_a_browser_gets_a_page_for_each_error(edge: Edge, path: str, status: int) -> None:
    page: httpx2.Response = await edge.client.get(path, headers=BROWSER)
    assert (page.status_code, page.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert "There is no such page" in page.text


async def test_a_page_for_an_error_permits_only_its_own_style(edge: Edge) -> None:
    page = await edge.client.get("/metrics", headers=BROWSER)
    style = page.text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = page.headers["Content-Security-Policy"]
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["X-Request-Id"]


async def test_a_body_that_is_too_long_is_explained_to_a_browser(edge: Edge) -> None:
    page = await edge.client.post("/checkout", content=b"a" * 10_000_000, headers=BROWSER)
    assert page.status_code == 413
    assert "what you typed is still there" in page.text
