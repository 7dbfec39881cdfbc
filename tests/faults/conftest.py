"""Fixtures: shoppers who order from this session's shop while a test causes faults."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from flow import AMOUNT, Flow
from shopper import Admin

from shopctl.shop import Shop

collect_ignore = (
    ["test_alerts.py", "test_clock.py"] if os.environ.get("RUNTIME") == "compose" else ["test_containers.py"]
)

TALLIES: dict[str, str] = {}
"""The final states of each test's orders, by the name of the test."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, tally in TALLIES.items():
        terminalreporter.write_line(f"{name}: {tally}")


@pytest.fixture
def flows() -> list[Flow]:
    """The flows that the test has started."""
    return []


@pytest.fixture
def flow(shop: Shop, admin: Admin, tmp_path: Path, flows: list[Flow]) -> Callable[..., AbstractContextManager[Flow]]:
    """`with flow() as orders:` runs shoppers inside the block; one of their products sells out."""

    def start(**options: Any) -> AbstractContextManager[Flow]:
        *skus, scarce = (admin.product(stock=stock, amount=AMOUNT) for stock in (*[100_000] * 6, 3))
        flows.append(Flow(shop.place.address, tmp_path / "attempts.jsonl", skus, scarce, **options))
        return flows[-1].running()

    return start


@pytest.fixture
def audit(audit: Callable[..., None], flows: list[Flow], request: pytest.FixtureRequest) -> Callable[..., None]:
    """The audit, followed by a check that at least half of the orders in the test's flows were paid."""

    def run(*arguments: str) -> None:
        audit(*arguments)
        for each in flows:
            TALLIES[request.node.name] = each.tally()

    return run
