"""Waits until the edge reaches the services: it looks up their addresses a moment after they start."""

import time
from collections.abc import Iterable
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from chassis.local.processes import StartError
from shopctl.services import Declaration

__all__ = ["http", "wait_for"]

http = build_opener(ProxyHandler({}))
"""Ignores a proxy from the environment, because it cannot reach our 127.0.0.1."""


def wait_for(address: tuple[str, int], services: Iterable[Declaration], seconds: float = 30) -> None:
    """Wait until the edge at `address` reaches these services. Raises StartError if it does not.

    It asks for each service's OpenAPI document, a path that no other service answers.
    """
    host, port = address
    end = time.monotonic() + seconds
    for service in services:
        while not _passed_on(f"http://{host}:{port}{service.specification}"):
            if time.monotonic() > end:
                raise StartError(f"The edge does not reach {service.name}. `make logs` has more.")
            time.sleep(0.1)


def _passed_on(url: str) -> bool:
    """Whether the service itself answers, even with an error, and not the edge or another service for it."""
    try:
        with http.open(url, timeout=5):
            return True
    except HTTPError as error:
        return error.code < 500 and error.code != 404
    except OSError:
        return False
