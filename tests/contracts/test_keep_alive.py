"""Who calls lets go of an idle connection before who serves does; else a POST meets a closing one.

The figures stand where each program takes them from; here they are compared.
"""

import inspect
import re
from pathlib import Path

import uvicorn

import chassis.http
import psp.clients
from shopctl.native.services import Service

ROOT = Path(__file__).parents[2]
IMAGES = sorted(ROOT.glob("services/*/Dockerfile"))
EDGE = ROOT / "deploy/nginx/quayside.conf.template"  # the chart's is a link to it


def upstreams() -> dict[str, float]:
    """For how many seconds the edge keeps an idle connection to each service."""
    blocks = re.findall(r"^upstream (\w+) \{(.*?)^\}", EDGE.read_text(), re.MULTILINE | re.DOTALL)
    return {name: float(*re.findall(r"keepalive_timeout (\d+)s;", block)) for name, block in blocks}


def servers() -> dict[str, float]:
    """For how many seconds each way to run a service keeps a connection that nobody uses."""
    command = Service("lamps", 1, {}, Path()).command().argv
    return {
        "by hand": inspect.signature(uvicorn.Config).parameters["timeout_keep_alive"].default,
        "native": float(command[command.index("--timeout-keep-alive") + 1]),
        **{
            image.parent.name: float(*re.findall(r"UVICORN_TIMEOUT_KEEP_ALIVE=(\d+)", image.read_text()))
            for image in IMAGES
        },
    }


def test_the_edge_lets_go_first() -> None:
    assert set(upstreams()) == {"catalog", "cart", "order", "payment", "identity"}
    assert max(upstreams().values()) < min(servers().values())


def test_services_and_the_provider_let_go_first() -> None:
    assert len(IMAGES) == 6
    assert max(chassis.http.IDLE_SECONDS, psp.clients.IDLE_SECONDS) < min(servers().values())
