"""Which alerts Alertmanager does not send while another one is active, with deploy/alertmanager/alertmanager.yml."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from shopper import until

from chassis.local.processes import answers, free_ports
from chassis.local.system import environment, program

CONFIG = Path(__file__).parents[2] / "deploy" / "alertmanager" / "alertmanager.yml"
ORDERS = {"alertname": "OrdersOpenTooLong", "severity": "page", "status": "PENDING"}


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[httpx2.Client]:
    (port,) = free_ports(1)
    command = [
        program("prometheus-alertmanager", "alertmanager"),
        f"--config.file={CONFIG}",
        f"--storage.path={tmp_path}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL) as process:
        try:
            ready = b"GET /-/ready HTTP/1.0\r\n\r\n"
            assert any(answers(port, ready, b"HTTP/1.0 200") for _ in until(20))
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}/api/v2", timeout=5, trust_env=False) as client:
                yield client
        finally:
            process.terminate()


def consumer_down(queue: str) -> dict[str, str]:
    return {"alertname": "ConsumerDown", "severity": "page", "queue": queue, "job": queue}


@pytest.mark.parametrize(
    ("down", "held_back"),
    [("order", ["ConsumerDown order", "OrdersOpenTooLong"]), ("cart", []), ("identity", []), ("storefront", [])],
)
def test_a_service_that_is_down_hides_only_what_follows_from_it(alertmanager, down: str, held_back: list[str]) -> None:
    service = {"alertname": "ServiceDown", "severity": "page", "job": down}
    alerts = [service, consumer_down("order"), consumer_down("catalog"), ORDERS]
    alertmanager.post("/alerts", json=[{"labels": each} for each in alerts]).raise_for_status()

    for _ in until(20):
        found = alertmanager.get("/alerts").raise_for_status().json()
        hidden = [each["labels"] for each in found if each["status"]["inhibitedBy"]]
        names = sorted(f"{each['alertname']} {each.get('queue', '')}".strip() for each in hidden)
        if len(found) == len(alerts) and names == held_back:
            return
    raise AssertionError(f"{down} hides {names}, not {held_back}")
