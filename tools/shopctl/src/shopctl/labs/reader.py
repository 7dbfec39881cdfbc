"""Sends reads to the catalog, and prints what they took as JSON.

It needs nothing but Python, so it can also run in a pod. Arguments: HOST PORT LOAD, with the load as JSON.
"""

import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection, HTTPException
from uuid import uuid4

PATH = "/api/catalog/products?limit=1"
TIMEOUT = 60
TRIES = 20
"""How often a read is sent that a busy shop refuses; each time, the client first waits as long as the answer says."""


@dataclass(frozen=True)
class Load:
    """How many reads are sent, and by how many clients. Each sends one after the other, with a pause (s) after each.

    With several addresses, each read names one of them in X-Forwarded-For, in turn. A client keeps its connection, or
    opens one for each read.
    """

    reads: int
    clients: int = 1
    addresses: int = 1
    pause: float = 0
    reconnect: bool = False


@dataclass
class Took:
    """Seconds: of each read that was answered, of each refusal, and from the first read to the last answer."""

    reads: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    seconds: float = 0


def send(host: str, port: int, load: Load) -> Took:
    """Send all reads. Raises OSError or HTTPException if one fails."""
    address, took = socket.gethostbyname(host), Took()
    began = time.perf_counter()
    with ThreadPoolExecutor(load.clients) as pool:
        clients = [pool.submit(client, address, port, load, number, took) for number in range(load.clients)]
    took.seconds = time.perf_counter() - began
    for each in clients:
        each.result()
    return took


def client(address: str, port: int, load: Load, first: int, took: Took) -> None:
    """Send the reads of one client. The token makes the edge ask catalog for each answer."""
    headers = {"Authorization": f"Bearer {uuid4()}"}
    connection = HTTPConnection(address, port, timeout=TIMEOUT)
    for number in range(first, load.reads, load.clients):
        if load.addresses > 1:
            headers["X-Forwarded-For"] = f"198.51.100.{number % load.addresses + 1}"
        for _ in range(TRIES):
            began = time.perf_counter()
            connection.request("GET", PATH, headers=headers)
            answer = connection.getresponse()
            answer.read()
            seconds = time.perf_counter() - began
            if answer.status not in (429, 503):
                break
            took.refusals.append(seconds)
            time.sleep(float(answer.headers.get("Retry-After", 1)))
        if answer.status != 200:
            raise HTTPException(f"it was answered {answer.status}")
        took.reads.append(seconds)
        time.sleep(load.pause)
        if load.reconnect:
            connection.close()  # the next request opens another
    connection.close()


if __name__ == "__main__":
    host, port, load = sys.argv[1:]
    try:
        took = send(host, int(port), Load(**json.loads(load)))
    except (OSError, HTTPException) as error:
        sys.exit(f"a read failed: {error!r}")
    print(json.dumps(asdict(took)))
