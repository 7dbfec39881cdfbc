"""Fixtures: a real nginx with the project's configuration, in front of upstreams that report their requests."""

import asyncio
import contextlib
import json
import os
import pwd
import random
import re
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from aiohttp import web

from shopctl import services
from shopctl.native.edge import LIMITS

ROOT = Path(__file__).parents[2]
NGINX = ROOT / "deploy" / "nginx"
SERVICES = services.load(ROOT).upstreams


NAMED = {"Authorization": "Bearer abc"}
PATIENT = {"proxy_read_timeout 4s;": "proxy_read_timeout 1m;"}
"""A change for tests that hold answers back: the edge waits for them, however slow this machine is."""
PER_MINUTE = {"r/s;": "r/m;"}
"""A change for tests of limits: what passes does not depend on how long the requests take."""


@dataclass
class Upstream:
    """Answers each request with a description of it; `/…/events` is a stream.

    `?status=`, `?wait=` and `?headers=` control the answer; with `?hold=1` it waits for `release`, as a stream does.

    `delay` is the time in seconds before an answer without `?wait=`. `status`, `headers`, `type` and `page` (HTML)
    change all answers, `answered` counts them, `open` is the number of requests at once, and `most` the
    highest one.
    """

    name: str
    port: int = 0
    delay: float = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    type: str = "application/json"
    page: str = ""
    answered: int = 0
    open: int = 0
    most: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.open += 1
        self.most = max(self.most, self.open)
        await asyncio.sleep(float(request.query.get("wait", self.delay)))
        if "hold" in request.query:
            await self.release.wait()
        self.open -= 1
        if request.path.endswith("/events"):
            return await self._stream(request)
        peer = request.transport.get_extra_info("peername") if request.transport else None
        seen = {
            "service": self.name,
            "method": request.method,
            "target": request.raw_path,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "connection": peer,
            "body": len(await request.read()),
        }
        self.answered += 1
        headers = json.loads(request.query.get("headers", "{}")) | self.headers
        if self.page:
            return web.Response(text=self.page, content_type="text/html", status=self.status, headers=headers)
        status = int(request.query.get("status", self.status))
        return web.json_response(seen, status=status, headers=headers, content_type=self.type)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await stream.write(b"id: 1\n\n")
        await self.release.wait()
        await stream.write(b"id: 2\n\n")
        return stream


@dataclass
class Edge:
    """A running nginx at `port`, and a client of it."""

    port: int
    client: httpx2.AsyncClient
    upstreams: dict[str, Upstream]


def render(template: Path, values: Mapping[str, str]) -> str:
    """Replaces the variables in the template. Raises KeyError with the name of a variable without a value."""
    return re.sub(r"\$\{([A-Z_]+)\}", lambda found: values[found[1]], template.read_text())


def free_port() -> int:
    """Returns a port that is free for TCP and UDP.

    It is below those that the system gives to clients: one of them might take it before the server does.
    """
    while True:
        port = random.randrange(24_000, 32_000)
        with contextlib.suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as packets:
            packets.bind(("127.0.0.1", port))
            with socket.create_server(("127.0.0.1", port)):
                return port


@pytest.fixture
def run_folder() -> Iterator[Path]:
    """A folder that nginx may use even if root runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="edge-"))
    (folder / "tmp").mkdir()
    shutil.copytree(NGINX / "balancing", folder / "balancing", copy_function=shutil.copyfile)
    (folder / "balancing").chmod(0o755)
    if os.geteuid() == 0:
        for path in (folder, folder / "tmp"):
            os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
    yield folder
    shutil.rmtree(folder)


@contextlib.asynccontextmanager
async def serve(*names: str) -> AsyncIterator[dict[str, Upstream]]:
    runners = []
    served = {name: Upstream(name) for name in names}
    for upstream in served.values():
        app = web.Application(client_max_size=2**20)
        app.router.add_route("*", "/{path:.*}", upstream.handle)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        upstream.port = runner.addresses[0][1]
        runners.append(runner)
    yield served
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def upstreams() -> AsyncIterator[dict[str, Upstream]]:
    async with serve(*SERVICES) as upstreams:
        yield upstreams


@contextlib.asynccontextmanager
async def nginx(
    folder: Path, upstreams: dict[str, Upstream], settings: Mapping[str, str], changes: Mapping[str, str] | None = None
) -> AsyncIterator[Edge]:
    """Runs nginx with the project's configuration, apart from `changes`: texts, each with what replaces it."""
    port = free_port()
    values = {
        "EDGE_LISTEN": f"127.0.0.1:{port}",
        "EDGE_RUN": str(folder),
        "EDGE_CACHE": str(folder / "tmp" / "cache"),
        **LIMITS | {"RATE_LIMIT": "off"},
        "EDGE_TRACE_CLIENTS": "on",
        "EDGE_TRUSTED_PROXIES": "",
        "EDGE_TRUSTED_NETWORKS": "",
        "LB_POLICY": "round-robin",
        "EDGE_TELEMETRY": "off",
        "EDGE_TELEMETRY_ADDRESS": f"127.0.0.1:{free_port()}",
        "NGINX_LOCAL_RESOLVERS": "127.0.0.1",
        **{f"{name.upper()}_SERVERS": f"server 127.0.0.1:{u.port};" for name, u in upstreams.items()},
        **settings,
    }
    configuration = render(NGINX / "quayside.conf.template", values)
    for text, other in (changes or {}).items():
        assert text in configuration
        configuration = configuration.replace(text, other)
    (folder / "quayside.conf").write_text(configuration)
    (folder / "nginx.conf").write_text(render(NGINX / "native.conf.template", values))
    process = await asyncio.create_subprocess_exec(
        "nginx", "-e", "stderr", "-c", str(folder / "nginx.conf"), user="nobody" if os.geteuid() == 0 else None
    )
    try:
        async with asyncio.timeout(30):
            while not await _listens(port):
                assert process.returncode is None, "nginx has stopped; its errors are above"
                await asyncio.sleep(0.02)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=15, trust_env=False) as client:
            yield Edge(port, client, upstreams)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def held(
    edge: Edge, method: str, path: str, service: str, number: int, headers: Mapping[str, str] | None = None
) -> AsyncIterator[None]:
    """Inside the block, the service has this number of requests at once. Each is answered at the end."""
    upstream = edge.upstreams[service]
    asked = [asyncio.create_task(edge.client.request(method, f"{path}?hold=1", headers=headers)) for _ in range(number)]
    async with asyncio.timeout(30):
        while upstream.open < number:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    yield
    upstream.release.set()
    assert {answer.status_code for answer in await asyncio.gather(*asked)} == {upstream.status}


@contextlib.asynccontextmanager
async def full(edge: Edge, method: str, path: str, service: str) -> AsyncIterator[None]:
    """Inside the block, the service has as many requests of a kind as it may have. The edge must be a patient one."""
    async with held(edge, method, path, service, 64, NAMED):
        yield


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@pytest.fixture
async def edge(run_folder: Path, upstreams: dict[str, Upstream]) -> AsyncIterator[Edge]:
    async with nginx(run_folder, upstreams, {}) as edge:
        yield edge


@pytest.fixture
async def patient(run_folder: Path, upstreams: dict[str, Upstream]) -> AsyncIterator[Edge]:
    """An edge that waits a minute for an answer."""
    async with nginx(run_folder, upstreams, {}, PATIENT) as edge:
        yield edge
