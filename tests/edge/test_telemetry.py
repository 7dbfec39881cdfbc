"""What the edge tells of its requests: the traceparent for services, and the metrics and spans of edge-exporter."""

import asyncio
import contextlib
import json
import os
import re
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from aiohttp import web
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from chassis.edge_exporter import dropped
from shopctl import services

from .conftest import NAMED, PATIENT, PER_MINUTE, ROOT, Edge, Upstream, free_port, full, nginx

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
UNSAMPLED, SAMPLED = f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-01"
MADE = re.compile("00-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-00")
MALFORMED = [
    f"01-{TRACE}-{SPAN}-01",
    f"00-{TRACE}-{SPAN}-01-more",
    f"00-{TRACE}-{SPAN}",
    f"00-{TRACE.upper()}-{SPAN}-01",
    f"00-{'0' * 32}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f'00-{TRACE}-{SPAN}-01","x":"',
    "a" * 5000,
]


async def passed_on(edge: Edge, **headers: str) -> dict[str, str]:
    """Returns the headers that a service gets."""
    answer = await edge.client.get("/api/orders/1", headers=headers)
    return dict(answer.json()["headers"])


async def test_a_request_without_a_traceparent_begins_a_trace(edge: Edge) -> None:
    first, second = [MADE.fullmatch((await passed_on(edge))["traceparent"]) for _ in range(2)]
    assert first
    assert second
    assert first["trace"] != second["trace"]


async def test_the_trace_and_the_flags_of_a_client_are_kept(edge: Edge) -> None:
    for sent in (UNSAMPLED, SAMPLED, f"00-{TRACE}-{SPAN}-03"):
        version, trace, span, flags = (await passed_on(edge, traceparent=sent))["traceparent"].split("-")
        assert (version, trace, flags) == ("00", TRACE, sent[-2:])
        assert re.fullmatch("[0-9a-f]{16}", span)
        assert span != SPAN


async def test_a_malformed_traceparent_is_replaced(edge: Edge) -> None:
    for sent in MALFORMED:
        found = await passed_on(edge, traceparent=sent, tracestate="x=y")
        assert (made := MADE.fullmatch(found["traceparent"])), sent
        assert made["trace"] != TRACE
        assert "tracestate" not in found


PROXY = {"EDGE_TRUSTED_PROXIES": "set_real_ip_from 127.0.0.1;", "EDGE_TRUSTED_NETWORKS": "127.0.0.1 1;"}


@pytest.mark.parametrize(("trusted", "kept"), [({}, False), (PROXY, True)], ids=["client", "trusted proxy"])
async def test_without_edge_trace_clients_only_a_trusted_proxy_chooses_the_trace(
    run_folder: Path, upstreams: dict[str, Upstream], lines: "Lines", trusted: dict[str, str], kept: bool
) -> None:
    settings = {"EDGE_TRACE_CLIENTS": "off", "EDGE_TELEMETRY": "on", "EDGE_TELEMETRY_ADDRESS": lines.address}
    async with nginx(run_folder, upstreams, settings | trusted) as edge:
        for sent in (SAMPLED, f"on 1 {SAMPLED}"):
            found = await passed_on(edge, traceparent=sent)
            line = await lines.fields()
            if kept and sent == SAMPLED:
                assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-01", found["traceparent"])
                assert line["caller"] == SPAN
            else:
                assert MADE.fullmatch(found["traceparent"])
                assert TRACE not in found["traceparent"]
                assert line["caller"] == ""


@dataclass
class Lines:
    """The packets that nginx sends."""

    socket: socket.socket

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.socket.getsockname()[1]}"

    async def next(self) -> str:
        async with asyncio.timeout(30):
            return (await asyncio.get_running_loop().sock_recv(self.socket, 65_536)).decode()

    async def fields(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((await self.next()).partition("nginx: ")[2])
        return found


@pytest.fixture
def lines() -> Iterator[Lines]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", free_port()))
        receiver.setblocking(False)
        yield Lines(receiver)


@pytest.fixture
async def told(run_folder: Path, upstreams: dict[str, Upstream], lines: Lines) -> AsyncIterator[Edge]:
    """An edge that is observed; its order service has stopped."""
    settings = {"EDGE_TELEMETRY": "on", "EDGE_TELEMETRY_ADDRESS": lines.address}
    dead = {"ORDER_SERVERS": f"server 127.0.0.1:{free_port()};"}
    async with nginx(run_folder, upstreams, settings | dead, PATIENT) as edge:
        yield edge


REQUESTS = [
    ("GET", "/api/catalog/products/MUG-1?q=x", "catalog", "/api/catalog", "200"),
    ("PATCH", "/api/admin/products/MUG-1", "catalog", "/api/admin/products", "200"),
    ("PUT", "/api/cart/items/MUG-1", "cart", "/api/cart", "200"),
    ("POST", "/api/orders", "order", "/api/orders", "503"),
    ("GET", "/api/payments/1?status=500", "payment", "/api/payments", "500"),
    ("GET", "/.well-known/jwks.json", "identity", "/.well-known", "200"),
    ("GET", "/", "storefront", "/", "200"),
    ("GET", "/?page=2", "storefront", "/", "200"),
    ("GET", "/p/MUG-1", "storefront", "/p", "200"),
    ("GET", "/search?q=mug", "storefront", "/search", "200"),
    ("GET", "/orders/0198a4e0-0000-7000-8000-000000000001", "storefront", "/orders", "200"),
    ("GET", "/api/docs", "storefront", "/api/docs", "200"),
    ("GET", "/somebody@example.org", "storefront", "", "200"),
    ("GET", "/ordersx", "storefront", "", "200"),
    ("GET", "/api/whatever", "edge", "", "404"),
    ("GET", "/metrics", "edge", "", "404"),
    ("TRACE", "/api/cart", "edge", "", "405"),
]


async def test_a_line_names_the_service_and_the_kind_of_path(told: Edge, lines: Lines) -> None:
    for method, target, service, route, status in REQUESTS:
        await told.client.request(method, target)
        line = await lines.fields()
        assert (line["service"], line["route"], line["status"]) == (service, route, status), target
        assert line["method"] == (method if method != "TRACE" else "_OTHER")
        assert line["bytes"] > 100
        assert 0 <= line["seconds"] < 5


async def test_a_page_that_the_edge_refuses_counts_as_its_own(told: Edge, lines: Lines) -> None:
    async with full(told, "GET", "/", "storefront"):
        await told.client.get("/p/MUG-1", headers=NAMED)
        line = await lines.fields()
    assert (line["service"], line["status"]) == ("edge", "503")


async def test_each_route_of_a_service_is_known(told: Edge, lines: Lines) -> None:
    """Fails for a new service until `$edge_service` in quayside.conf.template has it."""
    for service in services.load(ROOT):
        for route in service.routes:
            answer = await told.client.get(route)
            line = await lines.fields()
            if answer.is_redirect:
                await told.client.get(answer.headers["Location"])
                line = await lines.fields()
            assert (line["service"], line["route"]) == (service.name, route), route


async def test_a_line_has_nothing_of_a_person(told: Edge, lines: Lines) -> None:
    secret = "Secret.7@example.org"
    names = ("Cookie", "Authorization", "User-Agent", "Referer", "X-Request-Id", "Idempotency-Key")
    headers = dict.fromkeys(names, f"session={secret}; {secret}")
    headers |= {"traceparent": secret, "tracestate": secret, "X-Forwarded-For": "203.0.113.7", "Host": secret}
    for method in ("GET", "POST", "SECRET"):
        for target in (f"/orders/{secret}?q={secret}", f"/{secret}", f"/api/{secret}", f"/api/orders/{secret}"):
            await told.client.request(method, target, headers=headers, content=secret * 3)
            line = await lines.next()
            assert "secret" not in line.lower()
            assert "203.0.113.7" not in line
            assert "127.0.0.1" not in line


async def test_a_line_has_the_span_that_the_service_gets(told: Edge, lines: Lines) -> None:
    for sent, caller in (("", ""), (SAMPLED, SPAN), ("00-junk", "")):
        answer = await told.client.get("/api/cart", headers={"traceparent": sent} if sent else {})
        line = await lines.fields()
        assert (line["traceparent"], line["caller"]) == (answer.json()["headers"]["traceparent"], caller)


async def test_streams_and_health_checks_have_no_line(told: Edge, lines: Lines) -> None:
    told.upstreams["storefront"].release.set()
    for target in ("/orders/1/events", "/health/edge", "/api/orders/1/events"):
        await told.client.get(target)
    line = await lines.fields()
    assert (line["route"], line["status"]) == ("/api/orders", "503"), "a stream that never began"


async def test_an_edge_that_is_not_observed_sends_nothing(
    run_folder: Path, upstreams: dict[str, Upstream], lines: Lines
) -> None:
    settings = {"EDGE_TELEMETRY": "off", "EDGE_TELEMETRY_ADDRESS": lines.address}
    async with nginx(run_folder, upstreams, settings) as edge:
        await edge.client.get("/api/cart")
    with pytest.raises(BlockingIOError):
        lines.socket.recv(1)


async def test_connections_are_counted_for_nginx_exporter(told: Edge, lines: Lines) -> None:
    answer = await told.client.get(f"http://{lines.address}/stub_status")
    assert re.match(r"Active connections: \d+", answer.text)


@dataclass
class Exporter:
    """A running edge-exporter, and the spans that it has sent."""

    port: int
    lines: tuple[str, int]
    spans: list[dict[str, Any]] = field(default_factory=list)
    resource: dict[str, str] = field(default_factory=dict)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def collect(self, request: web.Request) -> web.Response:
        for each in (await request.json())["resourceSpans"]:
            self.resource = {pair["key"]: pair["value"]["stringValue"] for pair in each["resource"]["attributes"]}
            self.spans += each["scopeSpans"][0]["spans"]
        async with self.arrived:
            self.arrived.notify_all()
        return web.json_response({})

    async def scrape(self, accept: str = "application/openmetrics-text") -> httpx2.Response:
        async with httpx2.AsyncClient(timeout=15, trust_env=False) as client:
            return await client.get(f"http://127.0.0.1:{self.port}/metrics", headers={"Accept": accept})

    async def samples(self) -> dict[str, float]:
        """Returns each sample by its name and the values of its labels."""
        families = text_string_to_metric_families((await self.scrape()).text)
        return {
            " ".join([sample.name, *sample.labels.values()]): sample.value
            for family in families
            for sample in family.samples
        }

    async def until(self, expected: dict[str, float]) -> dict[str, float]:
        """Waits until the samples have these values, and returns all samples."""
        found = await self.samples()
        async with asyncio.timeout(30):
            while not expected.items() <= found.items():
                await asyncio.sleep(0.05)
                found = await self.samples()
        return found

    async def until_spans(self, number: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(30), self.arrived:
            await self.arrived.wait_for(lambda: len(self.spans) >= number)
        return sorted(self.spans, key=lambda span: int(span["startTimeUnixNano"]))

    def send(self, packet: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(packet, self.lines)


@contextlib.asynccontextmanager
async def exporting(ratio: float) -> AsyncIterator[Exporter]:
    exporter = Exporter(free_port(), ("127.0.0.1", free_port()))
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v1/traces", exporter.collect)
    collector = web.AppRunner(app, shutdown_timeout=1)
    await collector.setup()
    await web.TCPSite(collector, "127.0.0.1", 0).start()
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.addresses[0][1]}",
        "TRACE_SAMPLE_RATIO": str(ratio),
    }
    addresses = (f"127.0.0.1:{exporter.lines[1]}", f"127.0.0.1:{exporter.port}")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chassis.edge_exporter", *addresses, env={**os.environ, **settings}
    )
    try:
        async with asyncio.timeout(30):
            while True:
                assert process.returncode is None, "the exporter has stopped; its errors are above"
                with contextlib.suppress(httpx2.ConnectError):
                    await exporter.scrape()
                    break
                await asyncio.sleep(0.05)
        yield exporter
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 30) == 0
    finally:
        if process.returncode is None:
            process.kill()
        await collector.cleanup()


DURATION = "quayside_edge_request_duration_seconds"
EXPORTED = "quayside_trace_exported_spans_total"
MALFORMED_LINES = "quayside_edge_lost_lines_total malformed"


def named(name: str, values: dict[str, float]) -> dict[str, float]:
    """Returns values by their labels as samples of one name."""
    return {f"{name} {labels}": value for labels, value in values.items()}


def of(samples: dict[str, float], name: str) -> dict[str, float]:
    """Returns the samples of one name by their labels."""
    return {each.partition(" ")[2]: value for each, value in samples.items() if each.startswith(f"{name} ")}


def observed(exporter: Exporter) -> dict[str, str]:
    """The settings with which nginx sends its lines to this exporter."""
    return {"EDGE_TELEMETRY": "on", "EDGE_TELEMETRY_ADDRESS": f"127.0.0.1:{exporter.lines[1]}"}


async def test_requests_are_counted_by_service_status_and_what_the_cache_had(
    run_folder: Path, upstreams: dict[str, Upstream]
) -> None:
    limits = {"RATE_LIMIT": "on", "RATE_LIMIT_PER_ADDRESS": "10"}
    upstreams["catalog"].headers = {"Cache-Control": "public, max-age=60"}
    async with exporting(0) as exporter, nginx(run_folder, upstreams, observed(exporter) | limits, PER_MINUTE) as edge:
        for headers in ({}, {}, {}, {"Authorization": "Bearer x"}):
            await edge.client.get("/api/catalog/products", headers=headers)
        sizes = [await edge.client.get(f"/api/cart?status={status}") for status in (200, 404, 503)]
        await edge.client.get("/api/x")
        answers = await asyncio.gather(*(edge.client.get("/api/orders") for _ in range(30)))
        refused = sum(each.status_code == 429 for each in answers)
        counted = {
            **{"catalog 2xx": 4, "cart 2xx": 1, "cart 4xx": 1, "cart 503": 1},
            **{"order 2xx": 30 - refused, "edge 4xx": 1, "edge 429": refused},
        }
        got = await exporter.until(named(f"{DURATION}_count", counted))
        plain = await exporter.scrape("text/plain")
    assert refused > 5
    assert of(got, f"{DURATION}_count") == counted
    cache = of(got, "quayside_edge_cache_requests_total")
    assert {result: number for result, number in cache.items() if number} == {"miss": 1, "hit": 2, "bypass": 1}
    assert len(cache) == 7
    assert got["quayside_edge_bytes_total"] > sum(len(each.content) for each in sizes)
    assert got[MALFORMED_LINES] == 0
    assert plain.headers["Content-Type"].startswith("text/plain")
    assert "quayside_outbox" not in plain.text, "only what this process can know"


async def test_the_edges_span_is_the_parent_of_the_services(run_folder: Path, upstreams: dict[str, Upstream]) -> None:
    upstreams["catalog"].headers = {"Cache-Control": "public, max-age=60"}
    async with exporting(1) as exporter, nginx(run_folder, upstreams, observed(exporter)) as edge:
        asked = await edge.client.post("/api/orders")
        failed = await edge.client.get("/api/cart?status=500", headers={"traceparent": UNSAMPLED})
        await edge.client.get("/api/catalog/products/MUG-1")
        await edge.client.get("/unknown")
        spans = await exporter.until_spans(4)
        text = (await exporter.scrape()).text
    order, cart, catalog, unknown = spans
    parents = [each.json()["headers"]["traceparent"].split("-")[1:3] for each in (asked, failed)]
    assert [[each["traceId"], each["spanId"]] for each in (order, cart)] == parents
    assert order["parentSpanId"] == ""
    assert (cart["traceId"], cart["parentSpanId"]) == (TRACE, SPAN)
    assert [each["name"] for each in spans] == ["POST /api/orders", "GET /api/cart", "GET /api/catalog", "GET"]
    assert {each["kind"] for each in spans} == {2}
    assert [each["status"].get("code") for each in spans] == [None, 2, None, None]
    assert all(0 <= int(each["endTimeUnixNano"]) - int(each["startTimeUnixNano"]) < 5e9 for each in spans)
    attributes = {pair["key"]: next(iter(pair["value"].values())) for pair in catalog["attributes"]}
    assert attributes == {
        "http.request.method": "GET",
        "http.response.status_code": "200",
        "http.route": "/api/catalog",
        "quayside.cache": "MISS",
    }
    assert "http.route" not in {pair["key"] for pair in unknown["attributes"]}
    assert exporter.resource["service.name"] == "edge"
    assert f'# {{trace_id="{order["traceId"]}"}}' in text


async def test_a_trace_that_is_not_sampled_has_no_span(run_folder: Path, upstreams: dict[str, Upstream]) -> None:
    async with exporting(0) as exporter, nginx(run_folder, upstreams, observed(exporter)) as edge:
        for _ in range(3):
            await edge.client.get("/api/cart")
        await edge.client.get("/api/cart", headers={"traceparent": UNSAMPLED})
        await edge.client.get("/api/cart", headers={"traceparent": SAMPLED})
        (span,) = await exporter.until_spans(1)
        got = await exporter.until({f"{DURATION}_count cart 2xx": 5, EXPORTED: 1})
    assert span["traceId"] == TRACE
    assert got[EXPORTED] == 1


GOOD = {
    **{"method": "GET", "service": "cart", "route": "/api/cart", "status": "200", "cache": ""},
    **{"bytes": 1, "end": 1.0, "seconds": 0.1, "traceparent": UNSAMPLED, "caller": ""},
}
BAD: list[dict[str, Any]] = [
    {"method": "SECRET"},
    {"service": "x y"},
    {"status": "000"},
    {"seconds": -1},
    {"bytes": "many"},
    {"bytes": 10**400},
    {"service": "cart\n"},
    {"status": "200\n"},
    {"end": 1e300},
    {"route": "/" + "a" * 64},
    {"caller": "junk"},
]


async def test_malformed_packets_are_counted_and_make_no_series() -> None:
    packets = [json.dumps(GOOD | bad).encode() for bad in BAD]
    packets += [
        b"",
        b"\xff\xfe",
        b"<190> nginx: ",
        b"{",
        b"{}",
        b"[" * 3000,
        b"{" * 3000,
        b'{"x":' + b"[" * 3000,
        bytes(range(256)) * 8,
    ]
    invented = [json.dumps(GOOD | {"service": "a" * (n // 26) + chr(97 + n % 26)}).encode() for n in range(300)]
    async with exporting(1) as exporter:
        for packet in packets:
            exporter.send(packet)
        got = await exporter.until({MALFORMED_LINES: len(packets)})
        assert of(got, f"{DURATION}_count") == {}
        for start in range(0, 300, 50):
            for packet in invented[start : start + 50]:
                exporter.send(packet)
            await asyncio.sleep(0.02)
        exporter.send(json.dumps(GOOD).encode())
        got = await exporter.until({MALFORMED_LINES: len(packets) + 101})
    assert len(of(got, f"{DURATION}_count")) == 200


async def test_an_endpoint_that_is_no_url_is_one_line() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chassis.edge_exporter", "127.0.0.1:0", "127.0.0.1:0"),
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://jaeger:4318x"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 1
    assert told.decode().splitlines() == [
        "edge-exporter: OTEL_EXPORTER_OTLP_ENDPOINT: the endpoint for traces must look like http://host:4318"
    ]


async def test_lines_that_the_system_dropped_are_counted(lines: Lines) -> None:
    lines.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    assert dropped(lines.socket) == 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(100):
            sender.sendto(b"x" * 500, lines.socket.getsockname())
    received = 0
    async with asyncio.timeout(15):
        while received + dropped(lines.socket) < 100:  # a busy system delivers some packets later
            with contextlib.suppress(BlockingIOError):
                while lines.socket.recv(4096):
                    received += 1
            await asyncio.sleep(0.01)
    assert dropped(lines.socket) == 100 - received > 0


async def test_without_its_exporter_the_edge_answers_as_before(
    run_folder: Path, upstreams: dict[str, Upstream], capfd: pytest.CaptureFixture[str]
) -> None:
    settings = {"EDGE_TELEMETRY": "on", "EDGE_TELEMETRY_ADDRESS": f"127.0.0.1:{free_port()}"}
    async with nginx(run_folder, upstreams, settings) as edge:
        answers = [await edge.client.get(f"/api/cart?q={n}") for n in range(20)]
    assert {each.status_code for each in answers} == {200}
    assert "/api/cart" not in capfd.readouterr().err, "no request is named in the log of errors"
