"""Disturbs connections between services and their dependencies while shoppers order; afterwards the audit passes."""

import signal
import time
from collections.abc import Mapping
from contextlib import ExitStack

import pytest

from shopctl.chaos import catalog, links
from shopctl.chaos.injection import injected, notes

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize(
    "faults",
    [
        {
            "order>postgres": "cut-after-commit",
            "catalog>rabbitmq": "loss",
            "cart>valkey": "reset",
            "payment>psp": "delay",
        },
        {"payment>postgres": "cut-after-commit", "order>rabbitmq": "reset", "edge>order": "delay"},
        {"order>cart": "cut", "payment>psp": "cut", "catalog>rabbitmq": "cut"},
    ],
    ids=" ".join,
)
def test_links_are_disturbed_and_then_mended(shop, flow, audit, faults: Mapping[str, str]) -> None:
    """The services run on when their links are mended: they start again only after that."""
    with ExitStack() as stack:
        orders = stack.enter_context(flow())
        for link, fault in faults.items():
            stack.enter_context(injected(shop, catalog.find(fault), link))
        time.sleep(3)
        for each in notes(shop):
            links.signal_fault(shop, each.state, signal.SIGUSR2)
        time.sleep(2)
    assert not notes(shop)
    audit("--attempts", str(orders.attempts))
