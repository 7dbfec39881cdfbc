"""Faults of a real shop become the alerts that docs/runbooks describes, and the alerts end with the faults.

`deploy/prometheus/tests` tests every alert on sample series. Here Prometheus reads the shop and tells Alertmanager.
"""

import time
from collections.abc import Iterator

import httpx2
import pytest
from flow import AMOUNT
from shopper import until

from shopctl.chaos import catalog
from shopctl.chaos.injection import injected
from shopctl.shop import Shop

LIMIT = 150
"""Seconds. An alert needs 20 to 50 on an idle machine: the time that its rule waits, and some intervals of 5 s."""


class Alertmanager:
    """The alerts that have reached the shop's Alertmanager."""

    def __init__(self, shop: Shop) -> None:
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{shop.place.port('alertmanager')}", trust_env=False)

    def active(self, **which: bool) -> set[tuple[str, str]]:
        """Returns the name of each active alert, with the queue or the state that it is about."""
        found = self.http.get("/api/v2/alerts", params=which).raise_for_status().json()
        labels = (alert["labels"] for alert in found)
        return {(each["alertname"], each.get("queue") or each.get("state") or "") for each in labels}

    def wait(self, since: float, name: str, about: str = "", *, active: bool = True) -> float:
        """Waits until the alert is active, or no longer is, and returns the seconds that have passed since then."""
        for now in until(LIMIT, pause=0.2):
            if ((name, about) in self.active()) == active:
                return now - since
        raise AssertionError(f"{name} {about}: {'not ' if active else ''}active after {LIMIT} s: {self.active()}")


@pytest.fixture
def alerts(observed: Shop) -> Iterator[Alertmanager]:
    found = Alertmanager(observed)
    with found.http:
        yield found


@pytest.mark.timeout(600)
def test_faults_become_alerts_and_the_alerts_end(observed, alerts, admin, shopper, provider, capsys) -> None:
    provider.post("/sandbox/faults", json={"mode": "lost-reply"}).raise_for_status()
    order, unanswered = shopper.buy(admin.product(stock=1, amount=AMOUNT)), time.monotonic()
    with injected(observed, catalog.find("poison"), "catalog"):
        took = {"DeadLetters": alerts.wait(time.monotonic(), "DeadLetters", "catalog.dead")}

    broken = time.monotonic()
    with injected(observed, catalog.find("stop"), "rabbitmq"):
        took["RabbitMQDown"] = alerts.wait(broken, "RabbitMQDown")
        took["ConsumerDown"] = alerts.wait(broken, "ConsumerDown", "order")
        assert ("ConsumerDown", "order") not in alerts.active(inhibited=False)  # it follows from the other one
    took["PaymentsUndecided"] = alerts.wait(unanswered, "PaymentsUndecided", "UNKNOWN")
    provider.post("/sandbox/faults", json={"mode": "none"}).raise_for_status()
    provider.post("/sandbox/webhooks/replay", json={"order_id": order}).raise_for_status()
    assert shopper.waits_for(order, seconds=60) == "CONFIRMED"

    for name, about in (("DeadLetters", "catalog.dead"), ("RabbitMQDown", ""), ("ConsumerDown", "order")):
        alerts.wait(broken, name, about, active=False)
    alerts.wait(broken, "PaymentsUndecided", "UNKNOWN", active=False)
    with capsys.disabled():
        print("", *(f"{name} after {seconds:.0f} s" for name, seconds in took.items()), sep="\n")
