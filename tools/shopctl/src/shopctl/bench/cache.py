"""Compares an answer from the edge's cache with a file of the same size that nginx serves by itself."""

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from chassis.local.processes import Process, answers, free_ports
from chassis.local.system import program, run_as
from shopctl.bench.client import LoadFailed, request, send
from shopctl.bench.figures import Figure
from shopctl.bench.usage import measured
from shopctl.shop import Shop

__all__ = ["cached"]

CONNECTIONS = 32
PATH = "/api/catalog/products?limit=20"
CONFIGURATION = """daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 10000; default_type application/json;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""


async def cached(shop: Shop, seconds: float) -> list[Figure]:
    """Measure requests per CPU-second of nginx for both; their ratio does not depend on the load generator."""
    edge = shop.address("edge")
    (answer,) = await send(edge, [request("GET", PATH)], expect=200)
    with measured(shop) as usage:
        hits = await send(
            edge, [request("GET", PATH)], expect=200, connections=CONNECTIONS, seconds=seconds, keep_bodies=False
        )
    hit = len(hits) / usage.of("edge")
    figures = [
        Figure("cache", "list of 20 from the cache", len(hits) / seconds, "/s"),
        Figure("cache", "  per CPU-second of the edge", hit, "/CPU-s"),
    ]
    if shop.runtime != "native":  # requests to a container take a longer way than those to our nginx
        return figures
    with file_server(answer.body.encode()) as alone, measured(alone) as usage:
        files = await send(
            ("127.0.0.1", alone.port),
            [request("GET", "/file")],
            expect=200,
            connections=CONNECTIONS,
            seconds=seconds,
            keep_bodies=False,
        )
    file = len(files) / usage.total
    return [
        *figures,
        Figure("cache", "a file of the same size from nginx", len(files) / seconds, "/s"),
        Figure("cache", "  per CPU-second of nginx", file, "/CPU-s"),
        Figure("cache", "cache against file", hit / file, "×", "≥ 0.85"),
    ]


@dataclass(frozen=True)
class FileServer:
    """An nginx that serves one file, `/file`."""

    port: int
    process: Process

    def processes(self) -> dict[str, list[Process]]:
        return {"nginx": [self.process]}


@contextlib.contextmanager
def file_server(content: bytes) -> Iterator[FileServer]:
    """Run nginx with a file of this content. Raises LoadFailed if it does not start."""
    (port,), user = free_ports(1), run_as("root")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "file").write_bytes(content)
        text = CONFIGURATION.format(port=port, folder=folder, user=f"user {user};" if user else "")
        (Path(folder) / "nginx.conf").write_text(text)
        argv = [program("nginx"), "-e", "stderr", "-p", f"{folder}/", "-c", "nginx.conf"]
        with subprocess.Popen(argv) as running:
            try:
                process, end = Process.of(running.pid), time.monotonic() + 30
                while not answers(port, b"GET /file HTTP/1.0\r\n\r\n", b"HTTP/1.1 200"):
                    if process is None or running.poll() is not None or time.monotonic() > end:
                        raise LoadFailed("nginx does not serve the file to compare with")
                    time.sleep(0.05)
                assert process is not None
                yield FileServer(port, process)
            finally:
                running.terminate()
