"""The clock of one service, ten minutes ahead or behind."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from shopctl.chaos.fault import Fault, State, Target

__all__ = ["FAULTS", "SECONDS"]

SECONDS = 600
MODULE = Path(__file__).parents[1] / "clock"
"""The folder with a module that shifts the clock of a Python process."""
NATIVE = frozenset({"native"})
"""The images do not hold the module."""


def _services(shop: Target) -> Sequence[str]:
    return shop.place.services.names


def _shift(seconds: int) -> Callable[[Any, str, State], None]:
    def begin(shop: Any, on: str, state: State) -> None:
        shop.stop(on)
        shop.start(on, PYTHONPATH=str(MODULE), CLOCK_SECONDS=str(seconds))

    return begin


def _right(shop: Any, on: str, state: State) -> None:
    shop.stop(on)
    shop.start(on)


FAULTS = (
    Fault(
        "clock-ahead",
        "starts a service again with a clock that is 10 minutes ahead, and then with the right one",
        _services,
        _shift(SECONDS),
        _right,
        NATIVE,
    ),
    Fault(
        "clock-behind",
        "starts a service again with a clock that is 10 minutes behind, and then with the right one",
        _services,
        _shift(-SECONDS),
        _right,
        NATIVE,
    ),
)
