"""CPU time and memory of the shop's processes, as the kernel counts them."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from shopctl.shop import Shop

__all__ = ["Usage", "measured", "memory"]

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
    return {name: sum(process.cpu() for process in found) for name, found in shop.processes().items()}
