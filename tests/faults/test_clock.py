"""Services disagree about the time while shoppers order; afterwards the audit passes."""

import time
from contextlib import ExitStack
from email.utils import parsedate_to_datetime

import httpx2
import pytest

from shopctl.chaos import catalog
from shopctl.chaos.faults.clock import SECONDS
from shopctl.chaos.injection import injected
from shopctl.shop import Shop

pytestmark = pytest.mark.timeout(240)

DISAGREE = {"order": "clock-behind", "catalog": "clock-ahead", "psp": "clock-behind"}


def test_services_disagree_about_the_time(shop, flow, audit) -> None:
    with flow(methods=("tok_visa",)) as orders, wrong_clocks(shop):
        assert abs(seconds_ahead(shop, "order") + SECONDS) < 60
        time.sleep(3)
    assert abs(seconds_ahead(shop, "order")) < 60
    assert orders.refused[401] == 0
    audit("--attempts", str(orders.attempts))


def wrong_clocks(shop: Shop) -> ExitStack:
    with ExitStack() as stack:
        for service, fault in DISAGREE.items():
            stack.enter_context(injected(shop, catalog.find(fault), service))
        return stack.pop_all()


def seconds_ahead(shop: Shop, service: str) -> float:
    host, port = shop.address(service)
    date = httpx2.get(f"http://{host}:{port}/health/live", timeout=10).headers["date"]
    return parsedate_to_datetime(date).timestamp() - time.time()
