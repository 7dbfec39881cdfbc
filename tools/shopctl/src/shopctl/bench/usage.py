"""CPU time and memory of the shop's processes, as the kernel counts them."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from chassis.local.processes import Process

__all__ = ["Usage", "measured", "memory"]

NOT_OURS = frozenset({"psp"})  # it stands for an external company


class Running(Protocol):
    """What is measured: processes by name."""

    def processes(self) -> Mapping[str, Sequence[Process]]: ...


@dataclass
class Usage:
    """CPU seconds, user and system, by the name of the process."""

    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """The sum of all processes except the sandbox provider."""
        return sum(seconds for name, seconds in self.seconds.items() if name not in NOT_OURS)

    def of(self, *names: str) -> float:
        return sum(self.seconds[name] for name in names)


@contextlib.contextmanager
def measured(shop: Running) -> Iterator[Usage]:
    """Measure the CPU time of every process inside the block. The result is complete when the block ends."""
    usage = Usage()
    before = _seconds(shop)
    yield usage
    usage.seconds.update({name: after - before[name] for name, after in _seconds(shop).items()})


def memory(shop: Running) -> Mapping[str, int]:
    """Return the proportional set size in bytes, by the name of the process."""
    return {name: sum(process.memory() for process in found) for name, found in shop.processes().items()}


def _seconds(shop: Running) -> dict[str, float]:
    return {name: sum(process.cpu() for process in found) for name, found in shop.processes().items()}
