"""The interface of a running shop for commands, tests and the benchmark, for every runtime."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from chassis.local.processes import Process
from shopctl.place import Place

__all__ = ["Report", "Row", "Shop"]

Report = Callable[[str, float], None]
"""A function that is called with the name of a process that is ready, and the seconds that it took."""


@dataclass(frozen=True)
class Row:
    """One process or container; `memory` in bytes (proportional set size with children), None if it is not readable."""

    name: str
    state: str
    port: int | None
    pid: int | None
    memory: int | None


class Shop(Protocol):
    """Starts, stops and describes services, stores and the edge by name."""

    @property
    def runtime(self) -> str: ...
    @property
    def place(self) -> Place: ...
    @property
    def names(self) -> Sequence[str]:
        """The names of all services and stores."""

    def observe(self, wanted: bool) -> str:
        """Decide whether the next `up` starts the tools that observe the shop, and stop what has to change for that.

        Returns which tools this runtime leaves out, or an empty text.
        """

    def up(self, report: Report) -> list[str]:
        """Start what is not running, and wait until all is ready; returns what was started. Raises StartError."""

    def down(self) -> list[str]:
        """Stop all and keep the data; returns what was running."""

    def reset(self) -> None:
        """Stop all and remove data and secrets."""

    def start(self, name: str, **settings: str) -> None:
        """Start one and wait until it is ready. Settings such as `ROLE="api"` apply only to this start.

        Raises StartError.
        """

    def stop(self, *names: str) -> None:
        """Stop these gracefully."""

    def kill(self, name: str) -> None:
        """Send SIGKILL, as in a crash."""

    def freeze(self, name: str) -> None:
        """Stop every process of it with SIGSTOP: its connections stay open, and nothing answers."""

    def thaw(self, name: str) -> None:
        """Let it run again. It is no error if it was not frozen."""

    def execute(self, name: str, *argv: str, input: str = "") -> str:
        """Run a program of a store where it runs, such as `rabbitmqctl`; returns its output. Raises StartError."""

    def rows(self) -> list[Row]:
        """The state of each."""

    def processes(self) -> Mapping[str, Sequence[Process]]:
        """The first process of each one that runs, and of each replica."""

    def address(self, name: str) -> tuple[str, int]:
        """Host and port at which this machine reaches one without the edge."""

    def replicas(self) -> Mapping[str, tuple[str, int]]:
        """Host and port at which this machine reaches the metrics of each running process, by its name in `rows`.

        They are the services, and `edge-exporter` for the edge.
        """

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment for `log_command`."""

    def log_command(self, name: str | None, *, follow: bool, lines: int) -> list[str]:
        """The command that prints the last lines of one, or of all. Raises StartError if there are none."""

    def log_lines(self, name: str | None) -> Iterator[tuple[str, str]]:
        """Yields the name of a process and a line of its log, for all lines of one, or of all. Raises StartError."""
