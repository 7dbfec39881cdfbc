"""The basis of the benchmark's figures: the load generator sends what it should, and CPU times are summed correctly."""

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from chassis.local.processes import Process, StartError
from shopctl.bench.cache import file_server
from shopctl.bench.client import LoadFailed, request, send
from shopctl.bench.compare import comparisons, exported
from shopctl.bench.counters import sleeps
from shopctl.bench.figures import Figure, percentile
from shopctl.bench.usage import measured
from shopctl.place import Place

BURN = "import time\nwhile time.process_time() < 0.3: pass\n"
PARENT = f"""
import subprocess, sys
while sys.stdin.readline():
    subprocess.run([sys.executable, "-c", {BURN!r}])
    print("done", flush=True)
"""


LONG = "é" * 100_000


@dataclass
class Seen:
    port: int = 0
    requests: list[tuple[str, str, str]] = field(default_factory=list)


@pytest.fixture
async def server() -> AsyncIterator[Seen]:
    seen = Seen()

    async def answer(http: web.Request) -> web.StreamResponse:
        seen.requests.append((http.method, http.path, await http.text()))
        if http.path == "/chunked":
            stream = web.StreamResponse()
            stream.enable_chunked_encoding()
            await stream.prepare(http)
            for part in ("a" * 5000, "b"):
                await stream.write(part.encode())
            return stream
        if http.path == "/limited":
            return web.Response(status=429)
        if http.path.startswith("/long"):
            return web.Response(text=LONG)
        return web.json_response({"path": http.path}, status=404 if http.path == "/missing" else 200)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as running:
        seen.port = cast(int, running.port)
        yield seen


async def test_each_request_is_sent_once_and_answered_in_its_place(server: Seen) -> None:
    requests = [request("POST", f"/{n}", token="t", body={"n": n}) for n in range(40)]

    answers = await send(("127.0.0.1", server.port), requests, expect=200, connections=7)

    assert sorted(server.requests) == sorted(("POST", f"/{n}", f'{{"n": {n}}}') for n in range(40))
    assert [answer.body for answer in answers] == [f'{{"path": "/{n}"}}' for n in range(40)]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PYTHONUNBUFFERED", "1"),
        ("PYTHONUNBUFFERED", ""),
        ("PYTHONOPTIMIZE", "2"),
        ("PYTHONWARNINGS", "error"),
        ("PYTHONIOENCODING", "ascii"),
    ],
)
async def test_large_output_arrives_complete_even_if_python_does_not_buffer(
    server: Seen, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """Without buffering, a write to a full pipe may be partial, and only its result says so."""
    monkeypatch.setenv(variable, value)
    requests = [request("GET", f"/long/{n}") for n in range(30)]
    for _ in range(3):
        answers = await send(("127.0.0.1", server.port), requests, expect=200)
        assert [len(answer.body) for answer in answers] == [100_000] * 30


async def test_a_fixed_rate_is_kept(server: Seen) -> None:
    before = time.time()
    answers = await send(("127.0.0.1", server.port), [request("GET", "/")] * 120, rate=60, connections=8)

    starts = sorted(answer.at for answer in answers)
    assert all(start - before >= number / 60 for number, start in enumerate(starts))
    assert starts[-1] - starts[0] < 8  # and not 16, as one of the connections would need


async def test_requests_are_repeated_until_time_is_up(server: Seen) -> None:
    answers = await send(
        ("127.0.0.1", server.port), [request("GET", "/a"), request("GET", "/b")], seconds=0.5, keep_bodies=False
    )

    assert len(answers) > 4
    assert {answer.request for answer in answers} == {0, 1}


async def test_a_body_in_chunks_is_read_to_its_end(server: Seen) -> None:
    answers = await send(("127.0.0.1", server.port), [request("GET", "/chunked")] * 3, expect=200, connections=1)

    assert [answer.body for answer in answers] == ["a" * 5000 + "b"] * 3


async def test_a_shop_that_limits_requests_is_not_measured(server: Seen) -> None:
    with pytest.raises(LoadFailed, match="RATE_LIMIT=off"):
        await send(("127.0.0.1", server.port), [request("GET", "/limited")])


async def test_a_file_server_serves_the_file_that_it_is_given() -> None:
    with file_server(b"[1, 2]") as nginx:
        (answer,) = await send(("127.0.0.1", nginx.port), [request("GET", "/file")], expect=200)
    assert answer.body == "[1, 2]"


async def test_an_unexpected_status_and_a_dead_server_are_reported(server: Seen) -> None:
    with pytest.raises(LoadFailed, match="GET /missing: 404"):
        await send(("127.0.0.1", server.port), [request("GET", "/missing")], expect=200)
    with pytest.raises(LoadFailed, match="no answer"):
        await send(("127.0.0.1", 9), [request("GET", "/")], expect=200)


@dataclass
class OneProcess:
    """The part of a shop that is measured."""

    process: Process

    def processes(self) -> dict[str, list[Process]]:
        return {"parent": [self.process]}


@pytest.fixture
def parent() -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def test_cpu_time_of_children_that_ended_counts(parent: "subprocess.Popen[str]") -> None:
    assert parent.stdin is not None
    assert parent.stdout is not None
    process = Process.of(parent.pid)
    assert process is not None
    before = time.process_time()

    with measured(OneProcess(process)) as usage:
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "done\n"

    assert 0.25 <= usage.total < 1
    assert time.process_time() - before < usage.total  # and not ours
    assert os.getpid() not in process.family()


def test_percentiles_are_nearest_rank() -> None:
    assert percentile([3, 1, 2, 4], 0.5) == 2
    assert percentile(range(1, 101), 0.95) == 95
    assert percentile([7], 0.95) == 7
    assert percentile([], 0.5) == 0


def test_rounds_of_two_shops_become_ratios() -> None:
    base = [
        [Figure("16 at once", "CPU", 4, "ms"), Figure("idle", "CPU", 2, "ms")],
        [Figure("16 at once", "CPU", 5, "ms")],
    ]
    this = [[Figure("16 at once", "CPU", 2, "ms")], [Figure("16 at once", "CPU", 1, "ms")]]

    orders, idle = comparisons(base, this)

    assert (orders.base, orders.this, orders.ratios) == ([4, 5], [2, 1], [0.5, 0.2])
    assert (idle.base, idle.this, idle.ratios) == ([2, 0], [0, 0], [])


def test_an_unknown_commit_is_named() -> None:
    for commit in ("no-such-commit", "--all"):
        with pytest.raises(StartError, match=f"{commit} is not a commit"):
            exported(Place.here(), commit)


def test_each_sleep_of_a_process_counts(parent: "subprocess.Popen[str]") -> None:
    assert parent.stdin is not None
    assert parent.stdout is not None
    process = Process.of(parent.pid)
    assert process is not None
    before = sum(sleeps([process]).values())
    for _ in range(3):
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "done\n"
    assert sum(sleeps([process]).values()) - before >= 3
