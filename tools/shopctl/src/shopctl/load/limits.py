"""Finds out whether the edge limits requests, wherever it runs."""

import http.client
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

__all__ = ["limits"]

CONNECTIONS = 7
"""Used at the same time. One after the other, requests may be too slow to reach the limit."""
BURST = 700
"""More requests than one client may send at once by default. The edge has their answer in its cache."""


def limits(url: str) -> bool:
    """Whether the edge at `url` refuses some of many requests. Raises OSError if it does not answer."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return any(pool.map(_refused, [url] * CONNECTIONS))


def _refused(url: str) -> bool:
    address = urlsplit(url)
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    with closing(kind(address.hostname or "", address.port, timeout=5)) as connection:
        for _ in range(BURST // CONNECTIONS):
            try:
                connection.request("GET", "/api/catalog/categories")
                with connection.getresponse() as answer:
                    answer.read()
            except http.client.HTTPException as error:
                raise OSError(f"{url}: {error!r}") from error
            if answer.status == 429:
                return True
    return False
