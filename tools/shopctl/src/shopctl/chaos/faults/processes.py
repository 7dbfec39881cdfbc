"""Processes that are killed, stopped or frozen."""

from collections.abc import Sequence

from shopctl.chaos.fault import EVERYWHERE, Fault, State, Target
from shopctl.services import STORES

__all__ = ["FAULTS"]


def _services(shop: Target) -> Sequence[str]:
    return [*shop.place.services.names, "edge"]


def _stores(shop: Target) -> Sequence[str]:
    return [name for name in STORES if name in shop.names]


def _all(shop: Target) -> Sequence[str]:
    return [*_services(shop), *_stores(shop)]


def _kill(shop: Target, on: str, state: State) -> None:
    shop.kill(on)


def _stop(shop: Target, on: str, state: State) -> None:
    shop.stop(on)


def _freeze(shop: Target, on: str, state: State) -> None:
    shop.freeze(on)


def _start(shop: Target, on: str, state: State) -> None:
    shop.start(on)


def _thaw(shop: Target, on: str, state: State) -> None:
    shop.thaw(on)


FAULTS = (
    Fault("kill", "kills a process (SIGKILL), and starts it again", _all, _kill, _start, EVERYWHERE, (0.0, 3.0)),
    Fault("stop", "stops a process gracefully, and starts it again", _all, _stop, _start, EVERYWHERE),
    Fault("freeze", "freezes a process (SIGSTOP), and lets it run again", _all, _freeze, _thaw, seconds=(3.0, 15.0)),
)
