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
            before = orders.retried
            assert any(orders.retried > before for _ in until(60)), "shoppers have not noticed it"
    audit("--attempts", str(orders.attempts))
