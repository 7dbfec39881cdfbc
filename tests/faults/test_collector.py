"""The shop does not notice a collector of traces that refuses them or does not answer: spans are lost, and counted."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from collector import Collector
from shopper import until

from shopctl.shop import Shop

SERVICES = ("order", "catalog", "payment", "cart")
DROPPED = "quayside_trace_dropped_spans_total"
GROWTH = 60_000_000
"""Bytes: the buffer of 8192 spans needs 5 MB, and the rest is what orders need anyway."""


@pytest.fixture(params=[503, "silent"])
def faulty(shop: Shop, telemetry: Collector, request: pytest.FixtureRequest) -> Iterator[Collector]:
    if shop.runtime != "native":
        pytest.skip("only the services of a native shop send spans to the tests")
    telemetry.fault = request.param
    yield telemetry
    telemetry.fault = None


def of_all(shop: Shop, metric: str) -> dict[str, float]:
    """The value of a metric in each service."""
    return {name: _value(shop, name, metric) for name in SERVICES}


def _value(shop: Shop, service: str, metric: str) -> float:
    text = httpx2.get(f"http://127.0.0.1:{shop.place.port(service)}/metrics", timeout=10).text
    found = re.search(rf"^{metric} (.+)$", text, re.MULTILINE)
    assert found, metric
    return float(found[1])


def test_orders_go_on_without_their_spans(shop: Shop, faulty: Collector, flow: Any, audit: Any) -> None:
    lost, memory = of_all(shop, DROPPED), of_all(shop, "process_resident_memory_bytes")
    with flow() as orders:
        dropping = any(all(_value(shop, name, DROPPED) > lost[name] for name in SERVICES) for _ in until(60))

    assert dropping
    assert orders.failed == 0
    grown = {name: now - memory[name] for name, now in of_all(shop, "process_resident_memory_bytes").items()}
    assert max(grown.values()) < GROWTH, grown
    audit("--attempts", str(orders.attempts))
