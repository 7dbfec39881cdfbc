"""Logs an outage when it begins, when its reason changes and when it ends, but not at each attempt.

If every attempt were logged, the one line that says what to do would be hard to find. A bug is logged again each
minute, because it does not end by itself. `test_outage.py` shows the lines.
"""

import errno
import logging
import socket
import time
from urllib.parse import urlsplit

__all__ = ["Outage", "address", "reason"]

REMIND_AFTER = 60.0
"""Seconds after which a bug that goes on is logged again."""


class Outage:
    """Receives each failure of an operation that is retried until it succeeds, and logs the first for each reason."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log = log
        self._what = what
        self._told: str | None = None
        self._told_at = 0.0

    def failed(self, why: object, bug: Exception | None = None) -> None:
        """Logs a warning, or, with an unexpected exception as `bug`, an error with its stack."""
        line = str(why) or type(why).__name__
        reminds = bug is not None and time.monotonic() - self._told_at > REMIND_AFTER
        if line != self._told or reminds:
            self._told, self._told_at = line, time.monotonic()
            level = logging.WARNING if bug is None else logging.ERROR
            self._log.log(level, "%s: %s (trying until it succeeds)", self._what, line, exc_info=bug)

    def over(self) -> None:
        if self._told is not None:
            self._told = None
            self._log.info("%s: works again", self._what)


def address(url: str, port: int) -> str:
    """Returns `host:port` of a URL, with `port` if it has none, and without the password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or port}"


def reason(error: Exception) -> str:
    """Returns why there is no connection, in the same few words for each event loop and driver."""
    if isinstance(error, socket.gaierror):
        return "the name does not resolve"
    if isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return "connection refused"  # a name with several addresses gives only this text
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())
