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
    """Appends lines to `<name>-<worker>.<ending>`, which the first line creates; without a folder, it drops them.

    A process names the worker when it writes first, because Locust forks its workers.
    """

    def __init__(self, folder: str | None, name: str, ending: str, header: str = "") -> None:
        self._folder, self._name, self._ending, self._header = folder, name, ending, header
        self._file: int | None = None

    def write(self, line: bytes) -> None:
        if not self._folder:
            return
        if self._file is None:
            worker = f"{os.uname().nodename}-{os.getpid()}"
            path = Path(self._folder) / f"{self._name}-{worker}.{self._ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            if self._header and not path.stat().st_size:
                os.write(self._file, f"{self._header}\n".encode())
        os.write(self._file, line + b"\n")


class Journal:
    """The attempts of one process, as `shopctl audit --attempts` reads them: a line before each, and one after it."""

    def __init__(self, folder: str | None) -> None:
        self._lines = Lines(folder, "attempts", "jsonl")
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
    """The requests of one process: when each was sent (seconds since 1970), its step, its time in ms, its outcome.

    The outcome is `ok`, `refused` (such as 409), `later` (429 or 503 with Retry-After) or `failed`.
    """

    def __init__(self, folder: str | None) -> None:
        self._lines = Lines(folder, "requests", "csv", "at,step,ms,outcome")

    def on_request(
        self, request_type: str, name: str, response_time: float | None, exception: object, **more: Any
    ) -> None:
        """Listens to Locust's event `request`, which also tells of orders that nobody watches any more."""
        if request_type == "unsettled":
            return
        ms = response_time or 0.0
        outcome = "failed" if exception else "ok"
        if request_type in ("refused", "later"):
            name, outcome = name.rpartition(": ")[0], request_type
        at = more.get("start_time") or time.time() - ms / 1000
        self._lines.write(f"{at:.3f},{name},{ms:.1f},{outcome}".encode())
