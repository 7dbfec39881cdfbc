"""The journal of a run: each attempt to order, as `shopctl audit --attempts` reads it.

A line is written before an attempt is sent and another one after its answer, each with one write to the end of the
file. So a worker that is killed has lost none, and memory does not grow.
"""

import os
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

__all__ = ["Attempt", "Journal"]


class Attempt(msgspec.Struct, omit_defaults=True):
    """One POST /orders. `body` is None if a page of the shop made the request. `at` is in seconds since 1970."""

    key: str
    body: dict[str, Any] | None
    at: float
    status: int | None = None
    order_id: UUID | None = None


class Journal:
    """The attempts of one process, in a file of its own below `folder`; without a folder, none are kept."""

    def __init__(self, folder: str | None, worker: str) -> None:
        self._file: int | None = None
        self._encoder = msgspec.json.Encoder()
        if folder:
            path = Path(folder) / f"attempts-{worker}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def sends(self, key: str, body: dict[str, Any] | None) -> Attempt:
        """Writes that the attempt is about to be sent."""
        attempt = Attempt(key, body, time.time())
        self._write(attempt)
        return attempt

    def answered(self, attempt: Attempt, status: int, order_id: str | None) -> None:
        """Writes what came back."""
        attempt.status, attempt.order_id = status, UUID(order_id) if order_id else None
        self._write(attempt)

    def _write(self, attempt: Attempt) -> None:
        if self._file is not None:
            os.write(self._file, self._encoder.encode(attempt) + b"\n")
