"""The queries of dashboards and rules return data from a real Prometheus, after some traffic and a message that failed.

The panels and rules about Kubernetes are tested by `tests/cluster`, and each alert by `promtool` on series of a fault.
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from panels import DASHBOARDS, Query, queries, rules
from shopper import Admin, Shopper, until
from tour import tour

from shopctl.chaos import catalog
from shopctl.chaos.injection import injected
from shopctl.shop import Shop

pytestmark = pytest.mark.timeout(300)

KUBERNETES = ("kube_", "certmanager_")
RARE = {
    "quayside:slo_errors:page": "an error budget must burn; promtool tests it",
    "quayside:slo_errors:ticket": "an error budget must burn; promtool tests it",
    'service="edge", status="503"': "no crowd comes; tests/edge and promtool test it",
    'status="429"': "the shop of these tests does not limit requests",
    'status="EXPIRED"': "an order expires after 15 minutes",
    'http_response_status_code=~"5..': "no page of the checkout fails here",
}
"""Series that rules read and that these tests do not cause: a part of the selector, and why."""
QUIET = {
    "checkout: Outbox",  # an event is published within milliseconds
    "checkout: Open orders by state",
    "checkout: Age of the oldest open order",
    "checkout: Oldest open order",
    "checkout: Queues",
    "checkout: Payments undecided",
    "checkout: Undecided payments",
    "checkout: Audit by invariant",
    "services: Waits for the database's pool, p99",
    "shop: Alerts firing",
    "stores: Longest transaction",
}
"""Panels that may show 0 while the shop is well and has little to do."""
PANELS = [query for name in DASHBOARDS if name != "kubernetes" for query in queries(name)]
UNANSWERED = ("/api/catalog/products?q=ink", "/login")
SLOW = next(query for query in rules("record") if query.title == "quayside:slo_budget:left30d")
"""It is recorded every five minutes, so these tests run its own query."""
RULES = [query for kind in ("alert", "record") for query in rules(kind)]


class Prometheus:
    """The Prometheus of an observed shop."""

    def __init__(self, url: str) -> None:
        self.http = httpx2.Client(base_url=url, timeout=10, trust_env=False)

    def values(self, query: str) -> list[float]:
        answer = self.http.get("/api/v1/query", params={"query": query}).json()
        assert answer["status"] == "success", f"{query}: {answer}"
        values = [float(series["value"][1]) for series in answer["data"]["result"]]
        return [value for value in values if math.isfinite(value)]

    def rules(self) -> list[dict]:
        answer = self.http.get("/api/v1/rules").raise_for_status().json()
        return [rule for group in answer["data"]["groups"] for rule in group["rules"]]


def shows(prometheus: Prometheus, query: Query) -> bool:
    """Returns whether a panel has something to show: a number, and one above 0 if it is not a quiet one."""
    values = prometheus.values(query.prepared().replace(SLOW.title, f"({SLOW.expr})"))
    return bool(values) and (any(values) or str(query) in QUIET)


def unread(prometheus: Prometheus, query: Query) -> list[str]:
    """Returns the selectors of a rule for which there are no series, apart from rare ones and those of Kubernetes."""
    ours = (name + matchers for name, matchers in query.selectors() if not name.startswith(KUBERNETES))
    common = {each for each in ours if not any(part in each for part in RARE)}
    return [each for each in common if not prometheus.values(f"last_over_time({each}[5m])")]


@pytest.fixture(scope="module")
def prometheus(observed: Shop, admin: Admin, audit: Callable[..., None]) -> Iterator[Prometheus]:
    """The Prometheus of a shop that has been busy and audited, and in which requests and messages failed.

    A rate needs two samples, so everything happens more than once.
    """
    assert observed.place.prometheus_url is not None
    found = Prometheus(observed.place.prometheus_url)
    poison = catalog.find("poison")
    tour(observed, admin)
    audit()
    with injected(observed, poison, "cart"):
        ask_in_vain(observed, admin)
        tour(observed, admin)
        for _ in until(120):  # all of it again each time, because panels show the last two minutes
            ask_in_vain(observed, admin)
            with injected(observed, poison, "cart"):
                tour(observed, admin)
            if all(shows(found, query) for query in PANELS) and not any(unread(found, query) for query in RULES):
                break
        yield found


def ask_in_vain(shop: Shop, admin: Admin) -> None:
    """Sends requests to services that do not answer, or need one of these."""
    shopper = Shopper(shop.place)
    shopper.put(admin.product(stock=1))
    freeze = catalog.find("freeze")
    with injected(shop, freeze, "catalog"), injected(shop, freeze, "storefront"), ThreadPoolExecutor() as pool:
        asked = [pool.submit(shopper.order), *(pool.submit(shopper.http.get, path) for path in UNANSWERED)]
        assert {answer.result().status_code for answer in asked} <= {503, 504}


@pytest.mark.parametrize("query", PANELS, ids=str)
def test_a_panel_shows_what_happens(prometheus: Prometheus, query: Query) -> None:
    assert shows(prometheus, query), query.prepared()


@pytest.mark.parametrize("query", RULES, ids=str)
def test_a_rule_reads_series_that_exist(prometheus: Prometheus, query: Query) -> None:
    assert unread(prometheus, query) == []


def test_prometheus_evaluates_every_rule_without_an_error(prometheus: Prometheus) -> None:
    assert {rule["name"]: rule.get("lastError") for rule in prometheus.rules() if rule["health"] == "err"} == {}
    assert {rule["name"] for rule in prometheus.rules()} == {rule.title for rule in RULES}
