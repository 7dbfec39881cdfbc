"""CPU time and memory of the shop's processes, as the kernel counts them."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shopctl.shop import Shop

__all__ = ["Usage", "measured", "memory"]

TICK = 1 / os.sysconf("SC_CLK_TCK")
NOT_OURS = frozenset({"psp"})  # an outside party


@dataclass
class Usage:
    """CPU seconds, user and system, by process name."""

    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """Of everything but the sandbox provider."""
        return sum(seconds for name, seconds in self.seconds.items() if name not in NOT_OURS)

    def of(self, *names: str) -> float:
        return sum(self.seconds[name] for name in names)


@contextlib.contextmanager
def measured(shop: Shop) -> Iterator[Usage]:
    """What every process of the shop used inside the block, known when it ends."""
    usage = Usage()
    before = _seconds(shop)
    yield usage
    usage.seconds.update({name: after - before[name] for name, after in _seconds(shop).items()})


def memory(shop: Shop) -> Mapping[str, int]:
    """Bytes of proportional set size, by process name."""
    return {name: sum(process.memory() for process in found) for name, found in shop.processes().items()}


def _seconds(shop: Shop) -> dict[str, float]:
    return {
        name: sum(_cpu(pid) for process in found for pid in process.family())
        for name, found in shop.processes().items()
    }


def _cpu(pid: int) -> float:
    """With the time of children that ended and were waited for: PostgreSQL's sessions come and go."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0  # gone, and counted with its parent
    return sum(map(int, fields[11:15])) * TICK
