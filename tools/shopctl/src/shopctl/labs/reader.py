"""Sends reads to the catalog, and prints their times in seconds as JSON.

It needs nothing but Python, so it can also run in a pod. Arguments: HOST PORT READS CLIENTS ADDRESSES AGAIN.
"""

import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from uuid import uuid4

PATH = "/api/catalog/products?limit=1"
TIMEOUT = 60
PAUSES = (0.5, 1, 2)
"""Seconds after which a read is sent again that a busy shop has refused."""


def client(host: str, port: int, numbers: range, addresses: int, again: bool) -> list[float]:
    """Send the reads with these numbers one after the other, over one connection or, with `again`, one for each.

    The token makes the edge ask catalog for each answer. Raises OSError or HTTPException if a read fails.
    """
    times = []
    headers = {"Authorization": f"Bearer {uuid4()}"}
    kept = HTTPConnection(host, port, timeout=TIMEOUT)
    for number in numbers:
        if addresses > 1:
            headers["X-Forwarded-For"] = f"198.51.100.{number % addresses + 1}"
        began = time.perf_counter()
        for pause in (*PAUSES, 0):
            kept.request("GET", PATH, headers=headers)
            answer = kept.getresponse()
            answer.read()
            if answer.status not in (429, 503):
                break
            time.sleep(pause)
        if answer.status != 200:
            raise HTTPException(f"it was answered {answer.status}")
        times.append(time.perf_counter() - began)
        if again:
            kept.close()  # the next request opens another
    kept.close()
    return times


def main(host: str, port: int, reads: int, clients: int, addresses: int, again: bool) -> None:
    try:
        address = socket.gethostbyname(host)
        with ThreadPoolExecutor(clients) as pool:
            each = [
                pool.submit(client, address, port, range(n, reads, clients), addresses, again) for n in range(clients)
            ]
        print(json.dumps([seconds for future in each for seconds in future.result()]))
    except (OSError, HTTPException) as error:
        sys.exit(f"a read failed: {error!r}")


if __name__ == "__main__":
    host, *numbers, again = sys.argv[1:]
    port, reads, clients, addresses = map(int, numbers)
    main(host, port, reads, clients, addresses, again == "True")
