"""Tests of `shopctl up` and `down` on this machine: repeated calls, a taken port, interruption, cleanup."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shopper import until

from chassis.local.processes import tail
from shopctl.edge import http
from shopctl.native import ports
from shopctl.native.shop import NativeShop
from shopctl.place import TOOLS, Place

pytestmark = pytest.mark.timeout(240)

SHOPCTL = [sys.executable, "-c", "from shopctl.main import app; app()"]


class Lab:
    """A separate shop, controlled through the command line."""

    def __init__(self, run: Path, offset: int) -> None:
        self.shop = NativeShop(Place(Path(__file__).parents[2], run, offset))
        ours = {"SHOP_RUN": str(run), "SHOP_PORT_OFFSET": str(offset), "RUNTIME": "native"}
        self.env = {**os.environ, **ours, "COLUMNS": "200"}

    def shopctl(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {**self.env, **settings}
        return subprocess.run([*SHOPCTL, *arguments], env=environment, capture_output=True, text=True, timeout=110)

    def up(self, **settings: str) -> str:
        done = self.shopctl("up", **settings)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ready(self, *arguments: str) -> str:
        """Returns what `status` says once all is ready. A process that pauses for a second is not."""
        for _ in until(60):
            done = self.shopctl("status", *arguments)
            if done.returncode == 0:
                return done.stdout
        raise AssertionError(done.stdout + done.stderr)

    def marks(self) -> dict[str, bool]:
        """Returns which processes have marked that they ended by themselves, in their logs or with a file."""
        place = self.shop.place
        words = {"postgres": "database system is shut down", "valkey": "ready to exit"}
        words |= dict.fromkeys(place.services.names, "Finished server process")
        return {
            **{name: text in tail(place.log(name), 1) for name, text in words.items()},
            "rabbitmq": any((place.data / "rabbitmq/mnesia").rglob("clean.dot")),
            "edge": not (place.data / "nginx/nginx.pid").exists(),
        }

    def pids(self) -> dict[str, int]:
        return {name: process.pid for name in self.shop.servers if (process := self.shop.process(name))}

    def products(self) -> int:
        with http.open(f"{self.shop.place.address}/api/catalog/categories") as answer:
            return sum(category["products"] for category in json.load(answer)["items"])

    def prometheus(self, what: str) -> Any:
        with http.open(f"{self.shop.place.prometheus_url}/api/v1/{what}") as answer:
            return json.load(answer)["data"]

    def leftovers(self) -> list[str]:
        """Returns processes whose working directory is in this shop, and ports of the shop that are still in use."""
        homes = (str(self.shop.place.run), str(self.shop.place.data.resolve()))
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(entry / "cwd").startswith(homes):
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return found + [
            f"{name}: {taken}" for name, port in self.shop.place.ports.items() if (taken := ports.holder(port))
        ]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    run = tmp_path_factory.mktemp("shop") / "run"
    labs = (Lab(run, offset) for offset in range(20_000, 40_000, 1000))
    lab = next(lab for lab in labs if not any(map(ports.holder, lab.shop.place.ports.values())))
    yield lab
    lab.shop.reset()


def test_up_starts_everything_and_loads_the_demo_catalog(lab: Lab) -> None:
    done = lab.shopctl("up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert lab.shop.place.address in done.stdout
    assert "admin@quayside.example / quayside-admin" in done.stdout
    assert lab.products() >= 200


def test_status_reports_each_process_with_its_memory_as_json(lab: Lab) -> None:
    lab.up()
    rows = json.loads(lab.ready("--json"))["processes"]
    assert {row["name"]: row["state"] for row in rows} == dict.fromkeys(lab.shop.servers, "ready")
    assert all(row["memory"] > 0 for row in rows)


def test_a_second_up_changes_nothing(lab: Lab) -> None:
    lab.up()
    before, products = lab.pids(), lab.products()
    done = lab.shopctl("up")
    assert "Everything was already running" in done.stdout
    assert (lab.pids(), lab.products()) == (before, products)


def test_up_starts_only_what_has_died(lab: Lab) -> None:
    lab.up()
    before = lab.pids()
    lab.shop.kill("order")
    assert "order" not in lab.pids()
    lab.up()
    after = lab.pids()
    assert {name for name in after if after[name] != before[name]} == {"order"}


def test_down_leaves_no_process_and_keeps_the_data(lab: Lab) -> None:
    lab.up()
    products = lab.products()
    assert [name for name, marked in lab.marks().items() if marked] == []
    assert lab.shopctl("down").returncode == 0
    assert [name for name, marked in lab.marks().items() if not marked] == []  # they would be killed after 8 s
    assert lab.leftovers() == []
    assert lab.shopctl("status").returncode == 1
    lab.up()
    assert lab.products() == products


def test_up_waits_until_every_queue_is_consumed(lab: Lab) -> None:
    """A service is ready before it consumes. In a restart RabbitMQ is ready last, and no seeding hides the wait."""
    lab.up()
    lab.shopctl("down")
    lab.up(SHOP_BROKER_URL="amqp://operator@127.0.0.1:1/another-shop")
    assert json.loads(lab.shopctl("status", "--json").stdout)["backlog"]["unconsumed"] == []


def test_a_taken_port_is_reported_with_its_process_and_nothing_starts(lab: Lab) -> None:
    lab.shopctl("down")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", lab.shop.place.port("valkey")))
        other.listen()
        done = lab.shopctl("up")
    assert done.returncode == 1
    assert f"Port {lab.shop.place.port('valkey')}, which valkey needs, is taken by pid {os.getpid()}" in done.stderr
    assert lab.leftovers() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_up_stops_what_it_started(lab: Lab, number: signal.Signals) -> None:
    lab.shopctl("down")
    starting = subprocess.Popen([*SHOPCTL, "up"], env=lab.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 60
    while len(lab.pids()) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(lab.pids()) >= 4
    starting.send_signal(number)
    assert starting.wait(60) == 130
    assert lab.leftovers() == []
    assert starting.stdout is not None
    starting.stdout.close()


def test_two_commands_do_not_change_a_shop_at_the_same_time(lab: Lab) -> None:
    with lab.shop.place.exclusively():
        done = lab.shopctl("up")
    assert done.returncode == 1
    assert "another shopctl" in done.stderr


def test_observed_it_is_read_by_prometheus_until_the_next_up(lab: Lab) -> None:
    lab.up()
    before = lab.pids()
    assert f"http://localhost:{lab.shop.place.port('prometheus')}" in lab.up(OBSERVE="1")
    observed = lab.pids()
    changed = {name for name in observed if observed[name] != before.get(name)}
    assert changed == {"edge", "storefront", *lab.shop.place.tools}
    deadline = time.monotonic() + 60
    while down := [each for each in lab.prometheus("targets")["activeTargets"] if each["health"] != "up"]:
        assert time.monotonic() < deadline, down
        time.sleep(0.3)
    assert len(lab.prometheus("rules")["groups"]) >= 5
    assert lab.ready()

    lab.up()

    assert lab.shop.place.tools == ()
    assert lab.pids().keys() == before.keys()
    assert [name for name in TOOLS if ports.holder(lab.shop.place.port(name))] == []


def test_reset_removes_everything(lab: Lab) -> None:
    lab.up(OBSERVE="1")
    data = lab.shop.place.data.resolve()
    assert data.exists()
    assert lab.shopctl("reset", "--yes").returncode == 0
    assert lab.leftovers() == []
    assert not data.exists()
    assert not lab.shop.place.run.exists()
