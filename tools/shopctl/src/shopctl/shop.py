"""A running shop as commands, tests and the benchmark see it, whatever runs it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from chassis.local.processes import Process
from shopctl.place import Place

__all__ = ["Report", "Row", "Shop"]

Report = Callable[[str, float], None]
"""Told the name of what is ready, and after how many seconds."""


@dataclass(frozen=True)
class Row:
    """One process or container; `memory` in bytes (proportional set size, children included) where we may read it."""

    name: str
    state: str
    port: int | None
    pid: int | None
    memory: int | None


class Shop(Protocol):
    """Services, stores and edge by name."""

    @property
    def runtime(self) -> str: ...
    @property
    def place(self) -> Place: ...
    @property
    def names(self) -> Sequence[str]:
        """Of all services and stores."""

    def up(self, report: Report) -> list[str]:
        """Start what does not run, wait until all is ready; gives what was started. Raises StartError."""

    def down(self) -> list[str]:
        """Stop all; gives what ran. The data stays."""

    def reset(self) -> None:
        """Stop all and remove data and secrets."""

    def start(self, name: str, **settings: str) -> None:
        """Start one and wait until it is ready; `ROLE="api"` and the like are its settings this time alone.

        Raises StartError.
        """

    def stop(self, *names: str) -> None:
        """Stop these gracefully."""

    def kill(self, name: str) -> None:
        """SIGKILL, as a crash would."""

    def rows(self) -> list[Row]:
        """The state of each."""

    def processes(self) -> Mapping[str, Sequence[Process]]:
        """The first process of each that runs, and of each replica."""

    def address(self, name: str) -> tuple[str, int]:
        """Host and port at which this machine reaches one, beside the edge."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Of `log_command`."""

    def log_command(self, name: str | None, *, follow: bool, lines: int) -> list[str]:
        """The command that prints the last lines of one, or of all. Raises StartError if there are none."""
