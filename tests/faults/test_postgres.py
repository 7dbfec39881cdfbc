"""PostgreSQL runs out of sessions and of disk space while shoppers order; afterwards the audit passes."""

import time

import pytest
from shopper import until

from shopctl.chaos import catalog
from shopctl.chaos.injection import injected

pytestmark = pytest.mark.timeout(240)


def test_postgresql_has_no_free_session_and_then_no_room(shop, flow, audit) -> None:
    with flow() as orders:
        with injected(shop, catalog.find("exhaust-connections"), "postgres"):
            time.sleep(3)
        with injected(shop, catalog.find("disk-full"), "postgres"):
            assert any(not shop.processes().get("postgres") for _ in until(30)), "it still runs"
    audit("--attempts", str(orders.attempts))
