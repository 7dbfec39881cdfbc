"""PostgreSQL runs out of sessions and of disk space while shoppers order; afterwards the audit passes."""

import time

import pytest

from shopctl.chaos import catalog
from shopctl.chaos.injection import injected

pytestmark = pytest.mark.timeout(240)


def test_postgresql_has_no_free_session_and_then_no_room(shop, flow, audit) -> None:
    with flow() as orders:
        with injected(shop, catalog.find("exhaust-connections"), "postgres"):
            time.sleep(3)
        with injected(shop, catalog.find("disk-full"), "postgres"):
            time.sleep(4)
    assert any("PANIC" in line for _, line in shop.log_lines("postgres"))
    audit("--attempts", str(orders.attempts))
