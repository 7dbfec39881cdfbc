"""After all other tests: the number of series of each process is bounded, whatever requests it got."""

import re

import httpx2
import pytest

from shopctl.shop import Shop

MOST = 4_000
"""Series of a process: 15 for each route, method and status. After `tests/e2e`, catalog has the most, 1,104."""


@pytest.mark.parametrize("service", ["catalog", "cart", "order", "payment", "identity", "storefront"])
def test_the_number_of_series_is_bounded(shop: Shop, service: str) -> None:
    if shop.runtime != "native":
        pytest.skip("only a native shop's metrics are at a known port")
    text = httpx2.get(f"http://127.0.0.1:{shop.place.port(service)}/metrics").text
    series = [line for line in text.splitlines() if line and not line.startswith("#")]

    assert 10 < len(series) < MOST
    ids = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-|TEST-[0-9A-F]{12}|HOSTILE")
    assert not [line for line in series if ids.search(line)]
