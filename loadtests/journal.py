"""What a process of a load run writes down: each attempt to order, and if wanted each request.

Each line is one write to the end of a file. So a process that is killed has lost none, and memory does not grow.
"""

import os
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

__all__ = ["Attempt", "Journal", "Requests"]


class Attempt(msgspec.Struct, omit_defaults=True):
    """One POST that orders. `body` is None if a page of the shop made the request. `at` is in seconds since 1970."""

    key: str
    body: dict[str, Any] | None
    at: float
    status: int | None = None
    order_id: UUID | None = None


class Lines:
    """Appends lines to a file, which the first line creates; without a folder, it drops them."""

    def __init__(self, folder: str | None, name: str) -> None:
        self._path = Path(folder) / name if folder else None
        self._file: int | None = None

    def write(self, line: bytes) -> None:
        if self._path is None:
            return
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.write(self._file, line + b"\n")


class Journal:
    """The attempts of one process, as `shopctl audit --attempts` reads them: a line before each, and one after it."""

    def __init__(self, folder: str | None, worker: str) -> None:
        self._lines = Lines(folder, f"attempts-{worker}.jsonl")
        self._encoder = msgspec.json.Encoder()

    def sends(self, key: str, body: dict[str, Any] | None) -> Attempt:
        """Writes that the attempt is about to be sent."""
        attempt = Attempt(key, body, time.time())
        self._lines.write(self._encoder.encode(attempt))
        return attempt

    def answered(self, attempt: Attempt, status: int, order_id: str | None) -> None:
        """Writes what came back; status 0 means nothing did."""
        if status:
            attempt.status, attempt.order_id = status, UUID(order_id) if order_id else None
            self._lines.write(self._encoder.encode(attempt))


class Requests:
    """The requests of one process, as a table: when each ended, its step, its time in ms, and its outcome."""

    def __init__(self, folder: str | None, worker: str) -> None:
        self._lines = Lines(folder, f"requests-{worker}.csv")

    def on_request(
        self, request_type: str, name: str, response_time: float | None, exception: object, **_: object
    ) -> None:
        """Listens to Locust's event `request`."""
        outcome = "failed" if exception else "ok"
        if request_type in ("refused", "later"):
            name, outcome = name.rpartition(": ")[0], "refused"
        self._lines.write(f"{time.time():.3f},{name},{response_time or 0:.1f},{outcome}".encode())
