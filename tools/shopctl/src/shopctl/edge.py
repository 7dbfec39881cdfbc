"""What the edge passes on: it looks services up by itself, a moment later than they are there."""

import time
from collections.abc import Iterable
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from chassis.local.processes import StartError

__all__ = ["ROUTES", "http", "wait_for"]

http = build_opener(ProxyHandler({}))
"""Whatever proxy the environment names: it does not know our 127.0.0.1."""

# A path of each service that nobody else knows, to be read by anyone, if only to be refused.
ROUTES = {
    "catalog": "/api/catalog/categories",
    "cart": "/api/cart",
    "order": "/api/orders",
    "payment": "/api/payments/webhooks/psp",
    "identity": "/.well-known/jwks.json",
}


def wait_for(address: tuple[str, int], services: Iterable[str], seconds: float = 30) -> None:
    """Until the edge there has found these services; a StartError names the one that it has not."""
    host, port = address
    end = time.monotonic() + seconds
    for service in services:
        while not _passed_on(f"http://{host}:{port}{ROUTES[service]}"):
            if time.monotonic() > end:
                raise StartError(f"The edge does not reach {service}. `make logs` has more.")
            time.sleep(0.1)


def _passed_on(url: str) -> bool:
    """Whether the service answers: with a refusal, perhaps, but neither the edge nor another service in its stead."""
    try:
        with http.open(url, timeout=5):
            return True
    except HTTPError as error:
        return error.code < 500 and error.code != 404
    except OSError:
        return False
