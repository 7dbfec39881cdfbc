"""Logs are JSON and bounded; metrics have the conventions' names, few series, and exemplars."""

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncGenerator, Callable

import httpx2
import pytest
from fastapi import APIRouter

from chassis import telemetry, tracing
from chassis.app import create_app
from chassis.ids import uuid7
from chassis.settings import ServiceSettings
from chassis.streams import EventStream
from chassis.testing.apps import client_of


async def request(path: str, *, method: str = "GET", headers: dict[str, str] | None = None) -> httpx2.Response:
    router = APIRouter()

    @router.get("/lamps/{name}")
    async def find(name: str) -> str:
        return {"desk": ""}[name]

    app = create_app(ServiceSettings(log_sample_ratio=0), "lamps", title="Lamps", routers=[router])
    async with client_of(app) as client:
        return await client.request(method, path, headers=headers)


def test_every_log_line_is_one_json_object():
    record = logging.LogRecord("lamps", logging.WARNING, "", 0, "two\nlines of %s \ud800", ("light",), None)
    record.fields = {"watts": 7, "id": uuid7()}

    line = telemetry.JsonFormatter().format(record)

    assert "\n" not in line
    document = json.loads(line)
    assert (document["level"], document["logger"], document["watts"]) == ("warning", "lamps", 7)
    assert document["message"].startswith("two\nlines of light")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", document["time"])


def test_a_log_line_names_its_trace_even_if_that_is_not_sampled():
    record = logging.LogRecord("lamps", logging.INFO, "", 0, "lit", (), None)

    with tracing.inside(tracing.Context("1" * 32, "1" * 16, "00", False)):
        line = telemetry.JsonFormatter().format(record)

    assert json.loads(line)["trace_id"] == "1" * 32


async def test_a_failure_is_logged_with_its_route_and_status(capfd: pytest.CaptureFixture[str]):
    await request("/lamps/none")

    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    (line,) = (line for line in lines if line["logger"] == "access")
    assert (line["method"], line["route"], line["status"]) == ("GET", "/lamps/{name}", 500)


async def test_a_line_names_the_ids_in_its_path_and_nothing_else_of_it(capfd: pytest.CaptureFixture[str]):
    id = str(uuid7())
    for name in (id, "ann@example.com"):
        await request(f"/lamps/{name}")

    found = [line for line in map(json.loads, capfd.readouterr().out.splitlines()) if line["logger"] == "access"]
    assert [line.get("name") for line in found] == [id, None]
    assert not any("ann@" in str(value) for line in found for key, value in line.items() if key != "exception")


def test_the_lines_of_an_outage_are_bounded_by_place_and_the_others_counted(
    capfd: pytest.CaptureFixture[str], sample: Callable[..., float | None]
):
    before = sample("quayside_log_suppressed_lines_total") or 0
    telemetry.write_logs()
    log = logging.getLogger("lamps")

    for number in range(100):
        log.warning("lamp %d is dark", number)
    log.warning("another place")

    lines = capfd.readouterr().out.splitlines()
    assert 11 <= len(lines) <= 21  # a second may begin meanwhile
    assert "another place" in lines[-1]
    assert sample("quayside_log_suppressed_lines_total") == before + 101 - len(lines)


async def test_metrics_have_the_conventions_names_and_one_series_per_route():
    for path in ("/lamps/desk", "/lamps/none", "/chairs/1", "/chairs/2"):
        await request(path)

    text = (await request("/metrics")).text

    assert "http_server_request_duration_seconds_bucket{" in text
    assert 'http_route="/lamps/{name}"' in text
    assert 'http_route="unmatched"' in text
    assert "/chairs" not in text
    assert 'quayside_http_problems_total{slug="internal-error"}' in text
    assert "_created" not in text


async def test_an_unknown_method_adds_no_series():
    for method in ("FROB", "BLAH"):
        await request("/lamps/desk", method=method)

    text = (await request("/metrics")).text
    assert 'http_request_method="_OTHER"' in text
    assert "FROB" not in text


async def test_a_sampled_request_is_an_exemplar(spans: list[tracing.Span]):
    await request("/lamps/desk", headers={"traceparent": f"00-{7:032x}-{7:016x}-01"})

    metrics = await request("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})

    assert metrics.headers["Content-Type"].startswith("application/openmetrics-text")
    assert f'# {{trace_id="{7:032x}"}}' in metrics.text


async def test_the_lag_of_the_event_loop_is_measured(sample: Callable[..., float | None]):
    before = sample("quayside_event_loop_lag_seconds_sum") or 0
    async with telemetry.LoopLag():
        await asyncio.sleep(0)
        time.sleep(1.3)  # noqa: ASYNC251 - this is the lag
        await asyncio.sleep(0.05)

    assert (sample("quayside_event_loop_lag_seconds_sum") or 0) > before + 0.2


async def test_the_time_that_an_event_stream_stays_open_does_not_count(
    sample: Callable[..., float | None], spans: list[tracing.Span]
):
    router = APIRouter()
    opened: list[float] = []
    ended: list[tracing.Span] = []

    async def events() -> AsyncGenerator[bytes, None]:
        opened.append(time.perf_counter())
        ended.extend(spans)
        yield b"data: 1\n\n"
        await asyncio.sleep(0.3)

    @router.get("/blinks")
    async def blinks() -> EventStream:
        return EventStream(events())

    app = create_app(ServiceSettings(log_sample_ratio=0), "lamps", title="Lamps", routers=[router])
    async with client_of(app) as client:
        asked = time.perf_counter()
        await client.get("/blinks", headers={"traceparent": f"00-{7:032x}-{7:016x}-01"})

    (span,) = spans
    assert (span.name, span.attributes["http.response.status_code"]) == ("GET /blinks", 200)
    assert ended == [span]
    took = sample("http_server_request_duration_seconds_sum", http_route="/blinks") or 0
    assert 0 < took <= opened[0] - asked
