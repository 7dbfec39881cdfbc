"""Prometheus finds the same jobs in every runtime, and its configuration is valid in the version of this system."""

import re
import subprocess
from pathlib import Path

import pytest

from chassis.local.system import program
from shopctl import scraping
from shopctl.native.tools import tools
from shopctl.place import Place

ROOT = Path(__file__).parents[3]
CONTAINERS = (ROOT / "deploy/prometheus/prometheus.yml").read_text()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place whose data is in the test's own directory."""
    return Place(ROOT, tmp_path / "run", offset=3000)


def jobs(text: str) -> list[str]:
    return re.findall(r"job_name: (\S+)", text)


def test_a_native_shop_has_the_same_jobs_except_jaeger(place: Place) -> None:
    assert set(jobs(CONTAINERS)) - set(jobs(scraping.native(place))) == {"jaeger"}


def test_every_service_behind_the_edge_is_a_job(place: Place) -> None:
    assert {*place.services.upstreams} < {*jobs(CONTAINERS)}


def test_each_native_target_is_a_port_of_the_place(place: Place) -> None:
    targets = re.findall(r'targets: \["127.0.0.1:(\d+)"\]', scraping.native(place))
    assert len(targets) == len(jobs(scraping.native(place))) + 1  # and Alertmanager, to which alerts are sent
    assert {*map(int, targets)} <= {*place.ports.values()}


def test_prometheus_and_alertmanager_accept_their_configuration(place: Place) -> None:
    place.make()
    prometheus, alertmanager = (tool for tool in tools(place) if tool.name in ("prometheus", "alertmanager"))
    for tool in (prometheus, alertmanager):
        tool.prepare()
    check("promtool", "check", "config", place.data / "prometheus/prometheus.yml")
    check("promtool", "check", "config", ROOT / "deploy/prometheus/prometheus.yml")
    check("amtool", "check-config", place.data / "alertmanager/alertmanager.yml")


def check(name: str, *arguments: object) -> None:
    done = subprocess.run([program(name), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
