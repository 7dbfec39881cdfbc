"""The traffic of a run: simulated shoppers, which Locust runs in a process of its own, and what they have recorded."""

import csv
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chassis.local.processes import Command, Process, spawn, tail
from chassis.local.system import make_passable
from shopctl.audit.attempts import Attempt, read_attempts
from shopctl.chaos.recovery import Request
from shopctl.load.locust import LoadRun
from shopctl.shop import Shop

__all__ = ["Traffic", "TrafficEnded"]

MIX = {"buyer": 6, "returner": 1, "browser": 3, "abandoner": 1}
"""The personas and their shares."""
STARTS_WITHIN = 60.0
"""Seconds until the first shopper must have got an answer."""


class TrafficEnded(Exception):
    """Locust has ended by itself, or its shoppers get no answer."""


@dataclass
class Traffic:
    """The shoppers of one run. They write their files into `folder`; the seed determines what they do."""

    shop: Shop
    folder: Path
    seed: int
    users: int
    _times: int = field(default=0, init=False)
    _process: Process | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        return self.folder / "locust.log"

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Shoppers visit the shop inside the block. They end with this process, whatever ends it.

        Raises TrafficEnded, and StartError if Locust is not installed.
        """
        make_passable(self.folder)
        before = self._size()
        self._process = spawn(self._command(), self.log, die_with_parent=True)
        try:
            end = time.monotonic() + STARTS_WITHIN
            while self._size() == before:
                self.check()
                if time.monotonic() > end:
                    raise TrafficEnded(f"No shopper got an answer within {STARTS_WITHIN:g} s.\n{tail(self.log)}")
                time.sleep(0.1)
            yield
        finally:
            self._process.stop(signal.SIGTERM)
            self._process = None

    def check(self) -> None:
        """Raises TrafficEnded if Locust has ended by itself."""
        if self._process and not self._process.alive():
            raise TrafficEnded(f"Locust has ended by itself. {self.log} ends with:\n{tail(self.log)}")

    def sleep(self, seconds: float) -> None:
        """Lets shoppers go on for so long. Raises TrafficEnded."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.5))
            self.check()

    def requests(self) -> list[Request]:
        """All requests so far, sorted by their end."""
        found = []
        for file in self.folder.glob("requests-*.csv"):
            with file.open(newline="") as rows:
                found += [
                    Request(float(row["at"]), row["step"], float(row["ms"]), row["outcome"])
                    for row in csv.DictReader(rows)
                    if row["outcome"]  # a killed process may have left half a line
                ]
        return sorted(found, key=lambda each: each.end)

    def attempts(self) -> list[Attempt]:
        """All attempts to order so far, for the audit."""
        return [attempt for file in sorted(self.folder.glob("attempts-*.jsonl")) for attempt in read_attempts(file)]

    def _size(self) -> int:
        return sum(file.stat().st_size for file in self.folder.glob("requests-*.csv"))

    def _command(self) -> Command:
        self._times += 1
        personas = self.shop.place.root / "loadtests" / "personas"
        there = {name: weight for name, weight in MIX.items() if (personas / f"{name}.py").exists()}
        settings = {
            "LOAD_REQUESTS": "1",
            "PERSONAS": ",".join(f"{name}:{weight}" for name, weight in there.items()),
            "SEED": str(1000 * self.seed + self._times),  # keys must not come twice
            "SHAPE": "steady",
            "TIME": "24h",
            "USERS": str(self.users),
        }
        run = LoadRun(self.shop, self.folder, settings)
        # Visits are not finished: shoppers leave at once, as people do.
        return Command((*run.command(), "--stop-timeout", "0"), self.folder, run.environment())
