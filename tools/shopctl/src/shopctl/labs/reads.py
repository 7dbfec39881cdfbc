"""Reads the catalog of the shop on the cluster, and counts how many of the reads each pod of catalog answers."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from shopctl.labs import Missing, reader
from shopctl.labs.looking import api_pods, told
from shopctl.labs.reader import Load, Took

__all__ = ["Counted", "Load", "Pod", "pods", "quantile", "through_edge", "through_pod", "through_service"]

SERVED = re.compile(
    r'^http_server_request_duration_seconds_count\{.*status_code="200",http_route="/api/.*\} ([\d.]+)', re.MULTILINE
)
FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")
READER = Path(reader.__file__)
RESOLVED_WITHIN = 20
WITHIN = 120.0
"""Seconds in which all reads must be answered."""
UNLIMITED = "none"


@dataclass(frozen=True)
class Pod:
    """A pod that is ready. `cpu` is its CPU limit as Kubernetes writes it, such as 75m, or "none"."""

    name: str
    cpu: str

    @property
    def slow(self) -> bool:
        """Whether it may use at most a tenth of a CPU."""
        return self.cpu.endswith("m") and int(self.cpu[:-1]) <= 100


@dataclass(frozen=True)
class Counted:
    """How many reads each pod answered, and what they took."""

    shares: dict[Pod, int]
    took: Took


def quantile(values: Sequence[float], share: float) -> float:
    """Return the least of the values that this share of them does not exceed."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def through_edge(load: Load) -> Counted:
    """Send reads from this machine through the edge. Raises Missing if a read fails."""
    (edge, *_) = pods("edge")
    with forwarded(edge, 8080) as port:
        until_resolved(port)
        return counted(load, sys.executable, str(READER), "127.0.0.1", str(port))


def through_pod(pod: Pod, load: Load) -> Counted:
    """Send reads from this machine to one pod of catalog, past the edge. Raises Missing if a read fails."""
    with forwarded(pod, 8000) as port:
        return counted(load, sys.executable, str(READER), "127.0.0.1", str(port))


def through_service(load: Load) -> Counted:
    """Send reads from the pod of cart to the Service `catalog`, past the edge. Raises Missing if a read fails."""
    (cart, *_) = pods("cart")
    return counted(load, "kubectl", "exec", cart.name, "--", "python", "-c", READER.read_text(), "catalog", "8000")


def until_resolved(port: int) -> None:
    """Wait until the edge has an answer of catalog: a new edge looks up its pods a moment after it is ready."""
    deadline = time.monotonic() + RESOLVED_WITHIN
    while True:
        try:
            urlopen(f"http://127.0.0.1:{port}/api/catalog/products?limit=1", timeout=30).close()
        except OSError as error:
            if time.monotonic() > deadline:
                raise Missing(f"the catalog cannot be read through the edge: {error}") from None
            time.sleep(0.2)
        else:
            return


def counted(load: Load, *command: str) -> Counted:
    """Send reads by this command, and ask each pod of catalog before and after how many requests it has answered."""
    with ExitStack() as forwarding:
        ports = {pod: forwarding.enter_context(forwarded(pod, 8000)) for pod in pods("catalog")}
        before = {pod: served(port) for pod, port in ports.items()}
        took = Took(**told(*command, json.dumps(asdict(load)), within=WITHIN))
        shares = {pod: served(port) - before[pod] for pod, port in ports.items()}
    order = sorted(shares, key=lambda pod: (pod.cpu != UNLIMITED, -shares[pod]))
    return Counted({pod: shares[pod] for pod in order}, took)


def pods(service: str) -> list[Pod]:
    """Return the pods to which the Service sends requests, the newest first. Raises Missing if there is none."""
    ready = api_pods(service)
    ready.sort(key=lambda each: each["metadata"]["creationTimestamp"], reverse=True)
    if not ready:
        raise Missing(f"no pod of {service} is ready")
    return [Pod(each["metadata"]["name"], limit(each)) for each in ready]


def limit(pod: dict[str, Any]) -> str:
    found: str = pod["spec"]["containers"][0]["resources"].get("limits", {}).get("cpu", UNLIMITED)
    return found


@contextmanager
def forwarded(pod: Pod, port: int) -> Iterator[int]:
    """Forward a free port of this machine to a port of the pod. Raises Missing if kubectl cannot."""
    command = ("kubectl", "port-forward", f"pod/{pod.name}", f":{port}", "--address", "127.0.0.1")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        try:
            found = FORWARDING.search(process.stdout.readline())
            if not found:
                raise Missing(f"`{' '.join(command)}` failed")
            yield int(found[1])
        finally:
            process.terminate()


def served(port: int) -> int:
    """Return the number of API requests that the pod behind a forwarded port has answered with 200."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            return round(sum(map(float, SERVED.findall(answer.read().decode()))))
    except OSError as error:
        raise Missing(f"a pod of catalog does not tell its metrics: {error}") from None
