"""Tests of the load test in Compose: a run with two workers, its files, and what its containers reach."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from shopctl.compose import ComposeShop
from shopctl.load import containers
from shopctl.load.locust import LoadRun

pytestmark = pytest.mark.timeout(300)

HOWEVER_SLOW = "reads_p95=60000,order_p95=60000,confirmed_p95=60000,later=1"
BUYERS = {"SHAPE": "steady", "USERS": "10", "TIME": "10s", "PERSONAS": "buyer", "SEED": "7"}
CONNECT = "import socket; print(socket.create_connection(({!r}, {}), timeout=2))"


@pytest.fixture(scope="module")
def config(shop: ComposeShop) -> dict[str, Any]:
    """The resolved configuration of compose.yaml with the profile `load`, by service."""
    command = [*shop.command, "--profile", "load", "config", "--format", "json"]
    done = subprocess.run(command, env=shop.environment, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


def test_a_run_with_two_workers_passes_and_each_of_its_orders_has_an_attempt(
    shop: ComposeShop, admin, tmp_path: Path, audit, monkeypatch
) -> None:
    for _ in range(4):
        admin.product(stock=1000)
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.setenv("THRESHOLDS", HOWEVER_SLOW)
    with containers.running(LoadRun(shop, folder, BUYERS, workers=2)) as process:
        assert process.wait() == 0

    summary = json.loads((folder / "summary.json").read_text())
    assert summary["orders"]
    assert summary["reasons"] == []
    assert summary["locust"]["processes"] == 3
    assert summary["locust"]["memory"] < 120e6
    assert (folder / "report.html").exists()
    assert len([*folder.glob("attempts-*.jsonl")]) == 2
    audit("--attempts", str(folder))
    assert not [name for name in ("load-leader", "load-worker") if shop.containers(name)]


def test_the_load_test_is_not_part_of_the_shop(shop: ComposeShop) -> None:
    command = [*shop.command, "config", "--services"]
    done = subprocess.run(command, env=shop.environment, capture_output=True, text=True, check=True)
    assert not [name for name in done.stdout.split() if name.startswith("load")]


@pytest.mark.parametrize(("address", "reached"), [("edge:8080", True), ("order:8000", False), ("postgres:5432", False)])
def test_a_worker_reaches_the_edge_and_nothing_else(shop: ComposeShop, address: str, reached: bool) -> None:
    host, port = address.split(":")
    options = ("--profile", "load", "run", "--rm", "--no-deps", "--entrypoint", "python", "load-worker", "-c")
    command = [*shop.command, *options, CONNECT.format(host, port)]
    done = subprocess.run(command, env=shop.environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("<socket") is reached, done.stderr


def test_containers_of_the_load_test_are_hardened_and_bounded(config: dict[str, Any]) -> None:
    for name in ("load-leader", "load-worker"):
        service = config[name]
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert int(service["mem_limit"]) <= 256 * 2**20, name
        assert service["pids_limit"] <= 50, name
        assert "ports" not in service, name
        assert {secret["source"] for secret in service["secrets"]} == {"admin-password"}, name


@pytest.mark.parametrize(("switch", "watched"), [("", False), ("on", True)])
def test_a_profile_does_not_switch_telemetry_on(shop: ComposeShop, switch: str, watched: bool) -> None:
    command = [*shop.command, "config", "--format", "json"]
    environment = shop.environment | {"COMPOSE_PROFILES": "load", "TELEMETRY": switch}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    edge, storefront = (json.loads(done.stdout)["services"][name]["environment"] for name in ("edge", "storefront"))
    given = edge["EDGE_TELEMETRY"], storefront["OTEL_EXPORTER_OTLP_ENDPOINT"], storefront["PROMETHEUS_URL"]
    assert {bool(each) for each in given} == {watched}
