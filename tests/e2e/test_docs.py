"""Tests of the documentation: its shell blocks run against this session's shop, and everything that it names exists.

Each shell block is run here, or has a reason why it is not; a diagram has a fence marked `text`.
"""

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import asyncpg
import httpx2
import pytest
import typer
from documents import ROOT, Block, blocks, blocks_of, documents, the
from shopper import Admin, Shopper, until

from shopctl import services
from shopctl.main import app
from shopctl.models.plots import PLOTS
from shopctl.place import Place
from shopctl.shop import Shop

pytestmark = pytest.mark.timeout(120)

FIRST_ORDER = "README.md: The first order"
SERVERS = {f"services/{name}/README.md: Run it alone" for name in services.load(ROOT).names}
CHARGE = "services/psp/README.md: Run it alone (2)"
ROTATION = "services/identity/README.md: How it works"
DOCKER, CLUSTER = "needs a Docker Engine: tests/containers", "needs a cluster: tests/cluster"
OBSERVING = "tests/native and tests/containers observe a shop; test_operator.py runs what it offers"
ELSEWHERE = {
    "README.md: Quayside": "tests/native starts a shop by `shopctl up`; `make test` runs this test",
    "CONTRIBUTING.md: Contributing": "what `.ci/run` runs",
    "README.md: Seeing it": OBSERVING,
    "README.md: Loading it, and breaking it": "tests/load and tests/native run `shopctl load` and `shopctl chaos`",
    "docs/how-to/observe.md: *": OBSERVING,
    "docs/performance.md: Measuring": "tests/native/test_growth.py and tools/shopctl/tests/test_bench.py run its parts",
    "docs/chaos.md: *": "tests/native/test_chaos.py runs `shopctl chaos`",
    "README.md: In containers": DOCKER,
    "README.md: On Kubernetes": CLUSTER,
    "docs/kubernetes.md: *": CLUSTER,
    "tests/mutants/README.md: *": "`.ci/run` runs mutants, and tests/contracts/test_mutants.py checks all",
    "docs/models/*": "docs/conftest.py runs them and compares their output",
    "docs/how-to/kubernetes-dashboard.md: *": "needs a cluster, and programs from the network",
    "charts/*": CLUSTER,
    "loadtests/README.md: *": "tests/load/test_load.py runs `shopctl load`",
    "deploy/nginx/README.md: In a container": DOCKER,
    "deploy/nginx/README.md: Telemetry": "tests/edge starts edge-exporter",
    "docs/runbooks/README.md: *": CLUSTER,
    "docs/runbooks/*": "the commands that change nothing are run one by one",
    "docs/how-to/new-service.md: *": "tests/native/test_new_service.py adds a service to a copy",
    "docs/labs/*": "`make labs-test` runs them",
    "docs/labs/for-teachers.md: *": "tests/cluster/test_classroom.py sets up a class",
    "docs/how-to/new-page.md: *": "creates a service; tests/native/test_new_service.py does that in a copy",
}
TREE = (".github", "charts", "deploy", "docs", "libs", "loadtests", "services", "tests", "tools")
FOLDERS = rf"(?:{'|'.join(map(re.escape, TREE))})/"
RUN = {FIRST_ORDER, CHARGE, ROTATION, *SERVERS}


def shell(text: str, environment: dict[str, str], program: str = "bash") -> subprocess.Popen[str]:
    """Runs shell as a reader would: in the clone, with the virtual environment on the PATH; stops at an error."""
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "LOG_LEVEL": "warning"}
    return subprocess.Popen(
        [program, "-euc", text],
        cwd=ROOT,
        env=env | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def said_by(process: subprocess.Popen[str]) -> str:
    """Waits until a process succeeds, and returns its output."""
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, out + err
    return out


# --- every block is listed -----------------------------------------------------------------------


def test_each_block_is_run_or_has_a_reason_not_to_be() -> None:
    names = {block.name for block in blocks()}
    elsewhere = {name for name in names for pattern in ELSEWHERE if fnmatch(name, pattern)}
    assert names - elsewhere == RUN
    assert not RUN & elsewhere
    unused = {pattern for pattern in ELSEWHERE if not any(fnmatch(name, pattern) for name in names)}
    assert not unused


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.name)
def test_a_block_is_valid_shell_and_its_files_exist(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    words = shlex.split(block.text.replace("\\\n", " "), comments=True)
    assert [word for word in words if re.match(rf"{FOLDERS}|\.venv/", word) and not (ROOT / word).exists()] == []


# --- names in the text ---------------------------------------------------------------------------


@pytest.mark.parametrize("document", documents(), ids=lambda document: str(document.relative_to(ROOT)))
def test_links_files_targets_and_commands_exist(document: Path) -> None:
    text = document.read_text()
    spans = re.findall(r"`([^`\n]+)`", text) + [block.text for block in blocks_of(document)]
    links = set(re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)) - {f"plots/{name}" for name in PLOTS}
    absent = [link for link in sorted(links) if not (document.parent / link).exists()]
    for span in spans:
        made = re.findall(r"\bmake ([a-z][a-z-]+)", span)
        commands = re.findall(r"\bshopctl ((?:[a-z][a-z-]* ?)+)", span)
        absent += [f"make {target}" for target in made if target not in targets()]
        absent += [f"shopctl {words}" for words in commands if not is_command(words)]
        if re.fullmatch(rf"{FOLDERS}[\w./*-]+", span) and not [*ROOT.glob(span), *document.parent.glob(span)]:
            absent.append(span)
        if re.fullmatch(r"[\w-]+\.(?:py|sh|toml|yaml)", span) and span not in files():
            absent.append(span)
        if re.fullmatch(r"test_\w+", span) and not any(f"def {span}(" in text for text in files().values()):
            absent.append(span)
    assert absent == []


@cache
def files() -> dict[str, str]:
    """Returns the names of all files, without folders; for test files, also their text."""
    found: dict[str, str] = {}
    for path in [*ROOT.glob("*.*"), *(path for folder in TREE for path in (ROOT / folder).rglob("*.*"))]:
        text = path.read_text() if path.name.startswith("test_") and path.suffix == ".py" else ""
        found[path.name] = found.get(path.name, "") + text
    return found


@cache
def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def is_command(words: str) -> bool:
    """Whether words such as `dead-letters list` are a command, followed by arguments at most."""
    command = typer.main.get_command(app)
    for word in words.split():
        if not isinstance(command, typer.core.TyperGroup):
            return not word.startswith("-")  # an argument
        found = command.get_command(typer.Context(command), word)
        if found is None:
            return False
        command = found
    return True


# --- against the shop ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seeded(shop: Shop) -> Place:
    """The session's shop with the demo catalog, as after `make up`."""
    here = {"SHOP_RUN": str(shop.place.run), "SHOP_PORT_OFFSET": str(shop.place.offset)}
    said_by(shell("shopctl seed", here))
    return shop.place


@pytest.mark.parametrize("program", ["bash", "sh"])
def test_the_first_order_of_the_readme_is_confirmed(seeded: Place, program: str) -> None:
    text = the(FIRST_ORDER)
    assert "shop=http://localhost:8080\n" in text

    said = said_by(shell(text.replace("http://localhost:8080", seeded.address), {}, program))

    found, *events = said.strip().splitlines()
    assert "Espresso" in json.loads(found)["items"][0]["name"]
    *_, last = (line.removeprefix("data:") for line in events if line.startswith("data:"))
    assert json.loads(last)["status"] == "CONFIRMED"


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_a_service_runs_alone_as_its_readme_says(shop: Shop, tmp_path: Path, name: str) -> None:
    with alone(shop.place, tmp_path, name) as address:
        if name == "services/psp/README.md: Run it alone":
            charged = said_by(shell(the(CHARGE).replace("localhost:8007", address), {}))
            assert '"succeeded"' in charged


def test_keys_are_rotated_as_the_readme_says(shop: Shop) -> None:
    async def keys() -> int:
        connection = await asyncpg.connect(shop.place.database_url("identity"))
        try:
            return int(await connection.fetchval("SELECT count(*) FROM signing_keys"))
        finally:
            await connection.close()

    before = asyncio.run(keys())
    said_by(shell(with_addresses(the(ROTATION), shop.place, "identity"), {"ENVIRONMENT": "development"}))
    assert asyncio.run(keys()) == before + 1


def test_the_commands_of_runbooks_work(seeded: Place, new_shopper: Callable[[], Shopper], admin: Admin) -> None:
    shopper = new_shopper()
    order = shopper.buy(admin.product(stock=1))
    shopper.waits_for(order)
    here = {"SHOP_RUN": str(seeded.run), "SHOP_PORT_OFFSET": str(seeded.offset), "ORDER": order}
    said_by(shell("\n".join(commands_of_runbooks()).replace("ORDER-ID", "$ORDER"), here))


def commands_of_runbooks() -> list[str]:
    """Returns the commands that change nothing and that any shop can answer; of similar ones only one."""
    lines = {line for block in blocks() if block.name.startswith("docs/runbooks/") for line in block.text.splitlines()}
    reads = re.compile(r"shopctl (?:status|logs|trace|payments list|dead-letters list)\b")
    found = {re.sub(r"--lines \d+", "--lines 9", line) for line in filter(reads.match, lines)}
    assert len(found) > 10
    return sorted(found)


@contextmanager
def alone(place: Place, folder: Path, name: str) -> Iterator[str]:
    """Runs the block's server on a free port, with the stores and services of the shop. Yields its host and port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    service = name.split("/")[1]
    text, replaced = re.subn(r"--port \d+", f"--port {port}", with_addresses(the(name), place, service))
    assert replaced == 1
    process = shell(text.replace("psp.sqlite", str(folder / "psp.sqlite")), {})
    try:
        for _ in until(40, pause=0.2):
            assert process.poll() is None, process.communicate()
            if is_ready(f"http://127.0.0.1:{port}"):
                break
        else:
            raise AssertionError(f"{service} is not ready after 40 s")
        yield f"localhost:{port}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=20)


def with_addresses(text: str, place: Place, service: str) -> str:
    """Returns the block with its addresses and passwords replaced by those of this shop."""
    addresses = {
        "JWKS_URL": f"http://127.0.0.1:{place.port('identity')}/.well-known/jwks.json",
        "CART_URL": f"http://127.0.0.1:{place.port('cart')}",
        "CATALOG_URL": f"http://127.0.0.1:{place.port('catalog')}",
        **{f"{name.upper()}_URL": f"http://127.0.0.1:{place.port(name)}" for name in ("order", "payment", "identity")},
        "PSP_URL": place.psp_url,
        "WEBHOOK_URL": f"http://127.0.0.1:{place.port('payment')}/api/payments/webhooks/psp",
    }
    if service in place.services.valkey_users:
        addresses["VALKEY_URL"] = place.valkey_url(service)
    if service in place.services.databases:
        addresses["DATABASE_URL"] = place.database_url(service)
    if service in place.services.broker_users:
        addresses["BROKER_URL"] = place.broker_url(service)
    return re.sub(r"\b([A-Z_]+_URL)=\S+", lambda found: f"{found[1]}={shlex.quote(addresses[found[1]])}", text)


def is_ready(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/health/ready", timeout=2).status_code == 200
    except httpx2.TransportError:
        return False
