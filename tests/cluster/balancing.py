"""Counts the requests that each pod of a service answers, and adds a slow pod."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from counts import answered, read_catalog
from release import Release


@contextmanager
def slow_pod(shop: Release, name: str) -> Iterator[str]:
    """Adds one pod to a service, with a fraction of a CPU, and yields its name."""
    (pod, *_) = shop.pods(name)
    labels = {key: text for key, text in pod["metadata"]["labels"].items() if key != "pod-template-hash"}
    spec = {key: value for key, value in pod["spec"].items() if key not in ("nodeName", "topologySpreadConstraints")}
    spec["containers"][0]["resources"]["limits"]["cpu"] = "75m"
    slow = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{name}-slow", "labels": labels}, "spec": spec}
    shop.kubectl("apply", "--filename", "-", stdin=json.dumps(slow))
    try:
        shop.kubectl("wait", "--for=condition=Ready", f"pod/{name}-slow", "--timeout=120s")
        yield f"{name}-slow"
    finally:
        shop.kubectl("delete", "pod", f"{name}-slow")


def counted(shop: Release, *, requests: int, clients: int) -> dict[str, int]:
    """Reads the catalog `requests` times, and returns the number of answers from each of its pods."""
    before = served(shop)
    read_catalog(shop.place.address, requests=requests, clients=clients)
    return {pod: count - before[pod] for pod, count in served(shop).items()}


def served(shop: Release) -> dict[str, int]:
    look = "import urllib.request as r; print(r.urlopen('http://localhost:8000/metrics').read().decode())"
    names = [pod["metadata"]["name"] for pod in shop.pods("catalog")]
    return {name: answered(shop.kubectl("exec", name, "--", "python", "-c", look)) for name in names}
