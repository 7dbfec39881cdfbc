"""Tests of the edge from the client's side: routes, its own errors, streams, dead and slow services."""

import asyncio
import json
import re
from pathlib import Path

import httpx2
import pytest

from .conftest import NGINX, SERVICES, Edge, Upstream, free_port, nginx, serve


def problem(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["title"]
    assert body["detail"]
    assert body["type"].startswith("https://quayside.example/problems/")
    return answer.status_code, body["type"].rpartition("/")[2]


async def raw(edge: Edge, request: bytes) -> httpx2.Response:
    """Sends bytes that no client library would send, and returns the answer of nginx."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")[:-2]
    headers = httpx2.Headers([tuple(line.split(": ", 1)) for line in lines])
    body = await reader.readexactly(int(headers["Content-Length"]))
    writer.close()
    return httpx2.Response(int(status.split()[1]), headers=headers, content=body)


@pytest.mark.parametrize(
    ("target", "service"),
    [
        ("/api/catalog/products?q=a%20b&sku=x&sku=y", "catalog"),
        ("/api/catalog/openapi.json", "catalog"),
        ("/api/cart", "cart"),
        ("/api/cart/items/A%2F1", "cart"),
        ("/api/orders", "order"),
        ("/api/orders/1/cancel", "order"),
        ("/api/admin/orders?limit=2", "order"),
        ("/api/admin/carts/dead-letters", "cart"),
        ("/api/admin/accounts?email=a@example.org", "identity"),
        ("/api/admin/products/MUG-1/stock-history", "catalog"),
        ("/api/payments/webhooks/psp", "payment"),
        ("/api/admin/payments?state=UNKNOWN", "payment"),
        ("/api/identity/token", "identity"),
        ("/.well-known/jwks.json", "identity"),
        ("/", "storefront"),
        ("/p/MUG-1?x=1", "storefront"),
        ("/admin/orders", "storefront"),
        ("/api/docs", "storefront"),
        ("/static/0/shop.css", "storefront"),
    ],
)
async def test_each_path_reaches_its_service_unchanged(edge: Edge, target: str, service: str) -> None:
    seen = (await edge.client.get(target)).json()
    assert (seen["service"], seen["target"]) == (service, target)


async def test_the_edge_says_that_it_runs(run_folder: Path) -> None:
    async with serve(*SERVICES) as upstreams:
        pass  # they have all stopped
    async with nginx(run_folder, upstreams, {}) as edge:
        answer = await edge.client.get("/health/edge")
    assert (answer.status_code, answer.text) == (200, "ok\n")
    assert "/" not in answer.headers["Server"]


async def test_services_get_the_clients_address_and_a_request_id(edge: Edge) -> None:
    claimed = {"X-Forwarded-For": "1.2.3.4", "Forwarded": "for=1.2.3.4", "X-Request-Id": "my-id.1"}
    answer = await edge.client.get("/api/cart", headers=claimed)
    told = answer.json()["headers"]
    assert told["x-forwarded-for"] == "127.0.0.1"
    assert "forwarded" not in told
    assert told["host"] == f"127.0.0.1:{edge.port}"
    assert told["x-request-id"] == answer.headers["X-Request-Id"] == "my-id.1"


@pytest.mark.parametrize(
    ("asked", "told"), [("", "3500"), ("800", "800"), ("2999", "2999"), ("3600", "3500"), ("0", "3500"), ("1s", "3500")]
)
async def test_services_get_the_timeout_of_the_client(edge: Edge, asked: str, told: str) -> None:
    answer = await edge.client.get("/api/cart", headers={"X-Request-Timeout-Ms": asked} if asked else {})
    assert answer.json()["headers"]["x-request-timeout-ms"] == told


@pytest.mark.parametrize("claimed", [{}, {"X-Request-Id": "two words"}, {"X-Request-Id": "a" * 65}])
async def test_the_edge_gives_a_request_id(edge: Edge, claimed: dict[str, str]) -> None:
    answer = await edge.client.get("/api/cart", headers=claimed)
    assert len(answer.headers["X-Request-Id"]) == 32
    assert answer.json()["headers"]["x-request-id"] == answer.headers["X-Request-Id"]


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500, 502, 503, 504])
async def test_the_errors_of_a_service_pass_unchanged(edge: Edge, status: int) -> None:
    answer = await edge.client.get(f"/api/orders/1?status={status}")
    assert (answer.status_code, answer.json()["service"]) == (status, "order")


@pytest.mark.parametrize(
    ("status", "own", "seen"),
    [(503, "30", ["30"]), (429, "7", ["7"]), (503, None, ["1"]), (429, None, ["1"]), (200, None, [])],
)
async def test_the_retry_after_of_a_service_is_kept(edge: Edge, status: int, own: str | None, seen: list[str]) -> None:
    headers = json.dumps({"Retry-After": own} if own else {})
    answer = await edge.client.get("/api/orders", params={"status": status, "headers": headers})
    assert answer.headers.get_list("Retry-After") == seen


async def test_the_allow_of_a_service_is_kept(edge: Edge) -> None:
    headers = json.dumps({"Allow": "GET, HEAD, POST"})
    answer = await edge.client.delete("/api/orders", params={"status": 405, "headers": headers})
    assert answer.headers.get_list("Allow") == ["GET, HEAD, POST"]


async def test_no_header_is_sent_twice(edge: Edge) -> None:
    """The service may already send the headers that the edge adds."""
    added = {"X-Request-Id": "x", "Retry-After": "2", "X-Content-Type-Options": "nosniff", "Allow": "GET"}
    for status in (200, 405, 429, 503):
        params = {"status": status, "headers": json.dumps(added)}
        names = [name.lower() for name, _ in (await edge.client.get("/api/cart", params=params)).headers.raw]
        assert len(names) == len(set(names)), status


@pytest.mark.parametrize("target", ["/", "/health/edge", "/api", "/api/cart", "/api/orders/1?status=503"])
async def test_head_is_get_without_the_body(edge: Edge, target: str) -> None:
    get, head = await edge.client.get(target), await edge.client.head(target)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    if target in ("/health/edge", "/api"):  # the upstreams describe each request
        assert head.headers["Content-Length"] == get.headers["Content-Length"]


@pytest.mark.parametrize(
    "target", ["/api", "/api/psp", "/api/admin", "/health/live", "/metrics", "/internal/carts", "/problem"]
)
async def test_unknown_paths_are_404(edge: Edge, target: str) -> None:
    assert problem(await edge.client.get(target)) == (404, "not-found")


async def test_an_unknown_method_is_405(edge: Edge) -> None:
    assert problem(await edge.client.request("TRACE", "/api/cart")) == (405, "method-not-allowed")


async def test_bodies_up_to_64_kib(edge: Edge) -> None:
    assert (await edge.client.post("/api/orders", content=b"a" * 65_536)).json()["body"] == 65_536

    async def chunks() -> object:
        for _ in range(65):
            yield b"a" * 1024

    for content in (b"a" * 65_537, chunks()):
        answer = await edge.client.post("/api/orders", content=content)
        assert problem(answer) == (413, "body-too-large")


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"GARBAGE\r\n\r\n", (400, "malformed-request")),
        (b"GET /api/cart%00 HTTP/1.1\r\nHost: x\r\n\r\n", (400, "malformed-request")),
        (b"GET /api/cart HTTP/1.1\r\n\r\n", (400, "malformed-request")),
        (b"GET /api/cart HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", (400, "malformed-request")),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", (414, "uri-too-long")),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n", (431, "headers-too-large")),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: zip\r\n\r\n", (501, "not-implemented")),
        (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", (505, "http-version-not-supported")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
async def test_malformed_http(edge: Edge, request_: bytes, expected: tuple[int, str]) -> None:
    assert problem(await raw(edge, request_)) == expected


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_dead_service_is_503_and_the_others_answer(
    run_folder: Path, upstreams: dict[str, Upstream], method: str
) -> None:
    dead = {"ORDER_SERVERS": f"server 127.0.0.1:{free_port()};"}
    async with nginx(run_folder, upstreams, dead) as edge:
        answer = await edge.client.request(method, "/api/orders")
        assert problem(answer) == (503, "service-unavailable")
        assert answer.headers["Retry-After"] == "1"
        assert "X-Request-Id" in answer.headers
        assert (await edge.client.get("/api/cart")).status_code == 200


async def test_an_unreachable_server_is_skipped(run_folder: Path, upstreams: dict[str, Upstream]) -> None:
    two = f"server 127.0.0.1:{free_port()}; server 127.0.0.1:{upstreams['cart'].port};"
    async with nginx(run_folder, upstreams, {"CART_SERVERS": two}) as edge:
        answers = [await edge.client.get("/api/cart") for _ in range(6)]
    assert {answer.status_code for answer in answers} == {200}


async def test_a_slow_service_is_504_but_a_silent_stream_stays_open(edge: Edge) -> None:
    async with edge.client.stream("GET", "/api/orders/1/events") as stream:
        events = stream.aiter_raw()
        assert await asyncio.wait_for(anext(events), 15) == b"id: 1\n\n"
        answer = await edge.client.get("/api/catalog/products?hold=1")
        assert problem(answer) == (504, "no-answer-in-time")
        await asyncio.sleep(0.5)
        edge.upstreams["order"].release.set()
        assert await asyncio.wait_for(anext(events), 15) == b"id: 2\n\n"
        edge.upstreams["catalog"].release.set()


async def test_connections_to_services_are_reused(edge: Edge) -> None:
    connections = {
        json.dumps((await edge.client.get("/api/cart", headers={"Connection": "close"})).json()["connection"])
        for _ in range(20)
    }
    assert len(connections) == 1


def test_the_readme_lists_every_variable() -> None:
    readme = (NGINX / "README.md").read_text()
    for template in NGINX.glob("*.template"):
        for line in template.read_text().splitlines():
            for piece in line.split("${")[1:]:
                variable = re.sub("^[A-Z]+_SERVERS$", "<SERVICE>_SERVERS", piece.partition("}")[0])
                assert f"`{variable}`" in readme
