"""Reports an outage in plain words, and once: when it begins, when its reason changes, and when it ends.

A loop that logs every attempt soon buries the one line that says what to do. `test_outage.py` shows the lines.
"""

import errno
import logging
import socket
from urllib.parse import urlsplit

__all__ = ["Outage", "address", "reason"]


class Outage:
    """Takes every failure of something that is retried until it succeeds, and logs a line only when there is news."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log = log
        self._what = what
        self._told: str | None = None

    def failed(self, why: object, bug: Exception | None = None) -> None:
        """Logs a warning, or, with an unexpected exception as `bug`, an error with its stack."""
        line = str(why) or type(why).__name__
        if line != self._told:
            self._told = line
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
    """Returns why there is no connection, in a few words, whichever event loop and driver report it."""
    if isinstance(error, socket.gaierror):
        return "the name does not resolve"
    if isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return "connection refused"  # the text is used for a name with several addresses
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())
