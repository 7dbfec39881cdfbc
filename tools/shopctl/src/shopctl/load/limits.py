"""Finds out whether the edge limits requests, wherever it runs."""

import http.client
from contextlib import closing
from urllib.parse import urlsplit

__all__ = ["limits"]

BURST = 700
"""More requests than one client may send at once by default. The edge has their answer in its cache."""


def limits(url: str) -> bool:
    """Whether the edge at `url` refuses some of many requests. Raises OSError if it does not answer."""
    address = urlsplit(url)
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    with closing(kind(address.hostname or "", address.port, timeout=5)) as connection:
        for _ in range(BURST):
            try:
                connection.request("GET", "/api/catalog/categories")
                with connection.getresponse() as answer:
                    answer.read()
            except http.client.HTTPException as error:
                raise OSError(f"{url}: {error!r}") from error
            if answer.status == 429:
                return True
    return False
