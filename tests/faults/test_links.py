"""Disturbs connections between services and their dependencies while shoppers order; afterwards the audit passes."""

import math
import signal
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from shopper import until

from chassis.local.processes import Process
from shopctl.chaos import catalog, helpers, links
from shopctl.chaos.fault import State
from shopctl.chaos.injection import injected, notes
from shopctl.shop import Shop

SLOW = {"cut": math.inf, "delay": 0.2}
"""The shortest time in seconds that an answer takes: a delay is at least 0.1 s in each direction."""
pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize(
    "faults",
    [
        {
            "order>postgres": "cut-after-commit",
            "catalog>rabbitmq": "loss",
            "cart>valkey": "reset",
            "edge>order": "delay",
        },
        {"payment>psp": "cut", "catalog>rabbitmq": "cut", "order>cart": "cut"},
    ],
    ids=" ".join,
)
def test_links_are_disturbed_and_then_mended(shop, flow, audit, faults: Mapping[str, str]) -> None:
    """The services run on when their links are mended: they start again only after that."""
    with ExitStack() as stack:
        orders = stack.enter_context(flow(methods=("tok_visa",)))
        for link, fault in faults.items():
            stack.enter_context(injected(shop, catalog.find(fault), link))
            state = notes(shop)[-1].state
            assert any(connections(shop, state) for _ in until(30)), link
            if fault in SLOW and shop.runtime == "native" and link.partition(">")[2] in shop.place.services.names:
                assert seconds(state) >= SLOW[fault], link
        time.sleep(3)
        for each in notes(shop):
            links.signal_fault(shop, each.state, signal.SIGUSR2)
        time.sleep(2)
    assert not notes(shop)
    audit("--attempts", str(orders.attempts))


def seconds(state: State) -> float:
    """Returns how long a service takes to answer through a forwarder, up to a second."""
    began = time.monotonic()
    try:
        httpx2.get(f"http://127.0.0.1:{state['listen']}/health/live", timeout=1, trust_env=False)
    except httpx2.TransportError:
        return math.inf
    return time.monotonic() - began


def connections(shop: Shop, state: State) -> int:
    """Returns the number of connections that a forwarder has at present."""
    process = Process.load(helpers.pid_file(shop, f"forwarder-{state['listen']}"))
    assert process
    rows = [row.split() for row in Path(f"/proc/{process.pid}/net/tcp").read_text().splitlines()[1:]]
    return sum(local.endswith(f":{state['listen']:04X}") and status == "01" for _, local, _, status, *_ in rows)
