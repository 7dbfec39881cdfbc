"""The network between a service and a dependency: slow, lossy, cut, or resetting connections."""

import signal
from collections.abc import Callable, Sequence
from typing import Any

from shopctl.chaos import links
from shopctl.chaos.fault import Fault, State, Target
from shopctl.services import STORES

__all__ = ["FAULTS"]

AGAIN = "natively the service starts again before and after"


def _links(shop: Target) -> Sequence[str]:
    return links.links(shop)


def _to_postgres(shop: Target) -> Sequence[str]:
    return [link for link in links.links(shop) if link.endswith(">postgres")]


def _links_and_containers(shop: Target) -> Sequence[str]:
    if shop.runtime == "native":
        return links.links(shop)
    containers = [*shop.place.services.names, *STORES]
    return containers if links.lacking(shop) else [*containers, *links.links(shop)]


def _insert(name: str) -> Callable[[Any, str, State], None]:
    def begin(shop: Any, on: str, state: State) -> None:
        links.insert(shop, name, state)
        links.signal_fault(shop, state, signal.SIGUSR1)

    return begin


def _remove(shop: Any, on: str, state: State) -> None:
    links.remove(shop, state)


def _prepare_cut(shop: Any, on: str) -> State:
    return links.place_for(shop, on) if ">" in on else {"containers": shop.containers(on)}


def _cut(shop: Any, on: str, state: State) -> None:
    if ">" in on:
        _insert("cut")(shop, on, state)
    for container in state.get("containers", ()):
        shop.disconnect(container)


def _mend(shop: Any, on: str, state: State) -> None:
    if ">" in on:
        links.remove(shop, state)
    for container in state.get("containers", ()):
        shop.connect(container, on)


def _fault(name: str, does: str, on: Callable[[Any], Sequence[str]] = _links) -> Fault:
    does = f"{does}; {AGAIN}"
    return Fault(name, does, on, _insert(name), _remove, prepare=links.place_for, needs=links.lacking)


FAULTS = (
    _fault("delay", "delivers what a service and a dependency send each other 100 to 200 ms late"),
    _fault("loss", "makes 5 % of the chunks on a connection wait for a retransmission, 200 ms or longer"),
    Fault(
        "cut",
        f"lets neither bytes nor errors through between a service and a dependency, or a container and all; {AGAIN}",
        _links_and_containers,
        _cut,
        _mend,
        prepare=_prepare_cut,
    ),
    _fault("reset", "resets all connections between a service and a dependency each second"),
    _fault("cut-after-commit", "loses PostgreSQL's answer to every fourth commit, with the connection", _to_postgres),
)
