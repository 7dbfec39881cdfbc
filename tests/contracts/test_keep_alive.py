"""A client must close an idle connection before the server does; otherwise a POST may meet a closing connection.

The timeouts are set in several programs. These tests compare them.
"""

import inspect
import re
from pathlib import Path

import uvicorn

import chassis.http
import psp.clients
from shopctl import services
from shopctl.native.services import Service

ROOT = Path(__file__).parents[2]
SERVICES = services.load(ROOT)
IMAGES = sorted(ROOT.glob("services/*/Dockerfile"))
EDGE = ROOT / "deploy/nginx/quayside.conf.template"  # the chart links to it


def upstreams() -> dict[str, float]:
    """Returns the seconds for which the edge keeps an idle connection to each service."""
    blocks = re.findall(r"^upstream (\w+) \{(.*?)^\}", EDGE.read_text(), re.MULTILINE | re.DOTALL)
    return {name: float(*re.findall(r"keepalive_timeout (\d+)s;", block)) for name, block in blocks}


def servers() -> dict[str, float]:
    """Returns the seconds for which a service keeps an idle connection, for each way to run it."""
    command = Service("lamps", 1, {}, Path()).command().argv
    return {
        "by hand": inspect.signature(uvicorn.Config).parameters["timeout_keep_alive"].default,
        "native": float(command[command.index("--timeout-keep-alive") + 1]),
        **{
            image.parent.name: float(*re.findall(r"UVICORN_TIMEOUT_KEEP_ALIVE=(\d+)", image.read_text()))
            for image in IMAGES
        },
    }


def test_the_edge_closes_idle_connections_first() -> None:
    assert set(upstreams()) == set(SERVICES.upstreams)
    assert max(upstreams().values()) < min(servers().values())


def test_clients_in_services_and_psp_close_idle_connections_first() -> None:
    assert [image.parent.name for image in IMAGES] == sorted(SERVICES.names)
    assert max(chassis.http.IDLE_SECONDS, psp.clients.IDLE_SECONDS) < min(servers().values())
