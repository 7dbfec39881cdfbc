"""What happened when: reads while buyers were refused, and the last moment of trouble, from one look a second."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from summary import percentile

__all__ = ["Look", "Windows"]

LEAST = 5
"""The fewest reads of a window whose p95 means something."""
TROUBLE = 0.05
"""A window is in trouble if more of its requests than this share fail or are to come later, and more than one."""


@dataclass(frozen=True)
class Look:
    """The totals of the run until now. `later` counts the refusals that asked to come again later (429, 503)."""

    reads: Counter[int]
    requests: int = 0
    refused: int = 0
    later: int = 0
    failed: int = 0


@dataclass
class Windows:
    """Compares each look with the one before. A window is slow if p95 of its reads exceeds `slow` milliseconds."""

    slow: float
    last: Look = field(default_factory=lambda: Look(Counter()))
    while_refused: Counter[int] = field(default_factory=Counter)
    """The times of reads in windows in which buyers were refused."""
    trouble: float = 0.0
    """The end of the last window that was slow or in trouble; seconds since the start."""

    def see(self, at: float, look: Look) -> None:
        reads = look.reads - self.last.reads
        if look.refused > self.last.refused:
            self.while_refused += reads
        slow = reads.total() >= LEAST and percentile(reads, 0.95) > self.slow
        unserved = look.later + look.failed - self.last.later - self.last.failed
        if slow or unserved > max(1, TROUBLE * (look.requests - self.last.requests)):
            self.trouble = at
        self.last = look

    def figures(self, closed: float) -> dict[str, Any]:
        """p95 of reads while buyers were refused, in ms, and seconds from the last hunter to the last trouble."""
        return {
            "refused_reads_p95": percentile(self.while_refused, 0.95),
            "recovery": max(0.0, self.trouble - closed),
        }
