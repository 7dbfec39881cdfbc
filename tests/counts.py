"""Many reads of the catalog, and the number of requests that a process has answered according to its metrics."""

import re
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx2

SERVED = re.compile(r'^http_server_request_duration_seconds_count\{.*http_route="/api/.*\} ([\d.]+)', re.MULTILINE)


def read_catalog(address: str, *, requests: int, clients: int) -> None:
    """Sends `requests` requests through the edge at `address` from `clients` parallel clients; each must succeed.

    Each client has a token, so that the edge asks catalog for each answer, and limits each client by itself.
    """

    def read(count: int) -> None:
        headers = {"Authorization": f"Bearer {uuid4()}"}
        with httpx2.Client(base_url=address, headers=headers, timeout=30, trust_env=False) as http:
            for _ in range(count):
                http.get("/api/catalog/products?limit=1").raise_for_status()

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(read, [requests // clients] * clients))


def answered(metrics: str) -> int:
    """Returns the number of API requests in the text of /metrics."""
    return round(sum(map(float, SERVED.findall(metrics))))
