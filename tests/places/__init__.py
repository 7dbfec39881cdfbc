"""The places outside its own folder in which a service must be named, and the lines to add if it is missing.

A place is one file, or a few that belong together. `missing` yields a message for each gap, with the lines that close
it; `named` returns the services that the place names, to find those that no longer exist.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from shopctl.services import Declaration, Services

__all__ = ["Place", "Shop", "add"]


@dataclass(frozen=True)
class Shop:
    """A clone and its services, or services that a test has invented."""

    root: Path
    services: Services

    def read(self, path: str) -> str:
        file = self.root / path
        return file.read_text(encoding="utf-8") if file.is_file() else ""


@dataclass(frozen=True)
class Place:
    """A file, with a check of what it lacks for a service and of which services it names."""

    file: str
    missing: Callable[[Shop, Declaration], Iterator[str]]
    named: Callable[[Shop], set[str]] = lambda shop: set()


def add(file: str, what: str, *lines: str, to: str = "") -> str:
    """A message about one gap."""
    where = f" to {to}" if to else ""
    return f"{file}: {what}; add{where}:\n" + "\n".join(f"    {line}" for each in lines for line in each.splitlines())
