"""A fault: what it does to a shop, where it is possible, and how it is undone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shopctl.place import Place

__all__ = ["EVERYWHERE", "LOCAL", "Fault", "State", "Target"]

State = dict[str, Any]
"""What a fault must know to be undone, as JSON: it is on disk before the fault begins."""

LOCAL = frozenset({"native", "compose"})
EVERYWHERE = LOCAL | {"cluster"}


class Target(Protocol):
    """The shop that is disturbed. `names` are its services and stores, and the edge."""

    @property
    def runtime(self) -> str:
        """`native`, `compose` or `cluster`."""

    @property
    def place(self) -> Place: ...
    @property
    def names(self) -> Sequence[str]: ...
    def start(self, name: str, **settings: str) -> None:
        """Start one unless it runs, and wait until it is ready. Raises StartError."""

    def stop(self, *names: str) -> None:
        """Stop these gracefully. It is no error if one does not run."""

    def kill(self, name: str) -> None:
        """Send SIGKILL, as in a crash."""

    def freeze(self, name: str) -> None:
        """Stop the clock of every process of it (SIGSTOP): connections stay open, and nothing answers."""

    def thaw(self, name: str) -> None:
        """Let it run again. It is no error if it was not frozen."""

    def execute(self, name: str, *argv: str, input: str = "") -> str:
        """Run a program of a store where it runs, such as `rabbitmqctl`; returns its output. Raises StartError."""


def _nothing(shop: Any, on: str) -> State:
    return {}


@dataclass(frozen=True)
class Fault:
    """One fault, with a name as in `shopctl chaos inject NAME`.

    `on` returns the names that it can be injected on, of which a run draws one. `prepare` changes nothing, and returns
    what `end` will need. `begin` injects the fault, and returns once it is in effect. `end` undoes it, and returns once
    that is done; it must also work if `begin` failed halfway or was never called, and if `end` has run before. All of
    them raise StartError or OSError if they cannot do it. `seconds` are the shortest and the longest time that a run
    leaves between `begin` and `end`.
    """

    name: str
    does: str
    on: Callable[[Any], Sequence[str]]
    begin: Callable[[Any, str, State], None]
    end: Callable[[Any, str, State], None]
    runtimes: frozenset[str] = LOCAL
    seconds: tuple[float, float] = (3.0, 12.0)
    prepare: Callable[[Any, str], State] = _nothing
    needs: Callable[[Any], str | None] = lambda shop: None
    """Returns what this machine lacks for the fault, such as `root`, or None if it is possible."""
