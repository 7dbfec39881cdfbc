"""What is known about the shop at one time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shopctl.top.series import Series
from shopctl.topology import Queue

__all__ = ["Process", "Snapshot", "Source"]


@dataclass(frozen=True)
class Process:
    """One process of a service, a store or the edge. `series` is None if it reports none; `memory` is in bytes."""

    service: str
    name: str
    up: bool
    memory: int | None = None
    series: Series | None = None


@dataclass(frozen=True)
class Snapshot:
    """`at` is in seconds since 1970. `queues` is None if RabbitMQ does not answer, and a missing queue is None.

    `remarks` are sentences about what could not be read.
    """

    at: float
    processes: Sequence[Process]
    queues: Mapping[str, Queue | None] | None
    remarks: Sequence[str] = ()


class Source(Protocol):
    """Takes snapshots within a second or two, whatever is down."""

    @property
    def title(self) -> str:
        """What is looked at, and how."""

    @property
    def window(self) -> float:
        """Seconds over which rates are taken."""

    async def first(self) -> list[Snapshot]:
        """The first snapshots, from which a first page can be made, oldest first."""

    async def look(self) -> Snapshot: ...
