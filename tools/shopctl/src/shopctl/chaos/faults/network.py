"""The network between a service and a dependency: slow, lossy, cut, or resetting connections."""

import signal
from collections.abc import Callable, Sequence
from typing import Any

from shopctl.chaos import links
from shopctl.chaos.fault import Fault, State, Target

__all__ = ["FAULTS"]

NATIVE = frozenset({"native"})
AGAIN = "natively the service starts again before and after"


def _to_postgres(shop: Target) -> Sequence[str]:
    return [link for link in links.links(shop) if link.endswith(">postgres")]


def _begin(name: str) -> Callable[[Any, str, State], None]:
    def begin(shop: Any, on: str, state: State) -> None:
        links.insert(shop, name, state)
        links.signal_fault(shop, state, signal.SIGUSR1)

    return begin


def _end(shop: Any, on: str, state: State) -> None:
    links.remove(shop, state)


def _fault(name: str, does: str, on: Callable[[Any], Sequence[str]] = links.links) -> Fault:
    does = f"{does}; {AGAIN}"
    return Fault(name, does, on, _begin(name), _end, NATIVE, prepare=links.place_for, needs=links.lacking)


FAULTS = (
    _fault("delay", "delivers what a service and a dependency send each other 100 to 200 ms late"),
    _fault("loss", "makes 5 % of the chunks on a connection wait for a retransmission, 200 ms or longer"),
    _fault("cut", "lets neither bytes nor errors through between a service and a dependency"),
    _fault("reset", "resets all connections between a service and a dependency each second"),
    _fault("cut-after-commit", "loses PostgreSQL's answer to every fourth COMMIT, with the connection", _to_postgres),
)
