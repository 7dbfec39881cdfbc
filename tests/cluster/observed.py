"""What the tools of an observed release say, by the APIs of Prometheus and Jaeger."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from panels import queries
from release import Release

TOOLS = ("prometheus", "alertmanager", "jaeger", "postgres-exporter", "valkey-exporter")


@contextmanager
def forwarded(release: Release, service: str, port: int) -> Iterator[httpx2.Client]:
    """A client of a service of the release, whose port is forwarded to this machine."""
    command = ["kubectl", "--namespace", release.namespace, "port-forward", f"service/{service}", f":{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forwarding:
        try:
            assert forwarding.stdout
            said = forwarding.stdout.readline()  # Forwarding from 127.0.0.1:40123 -> 9090
            assert said, f"the port of {service} is not forwarded"
            with httpx2.Client(base_url=f"http://{said.split()[2]}", timeout=10, trust_env=False) as client:
                yield client
        finally:
            forwarding.terminate()


def answer(client: httpx2.Client, path: str, **parameters: str) -> Any:
    return client.get(path, params=parameters).raise_for_status().json()["data"]


def values(prometheus: httpx2.Client, query: str, label: str) -> dict[str, float]:
    """Returns the value of each series of a query's result, by one of its labels."""
    found = answer(prometheus, "/api/v1/query", query=query)["result"]
    return {each["metric"].get(label, ""): float(each["value"][1]) for each in found}


def targets(prometheus: httpx2.Client) -> dict[str, set[str]]:
    """Returns what ails the targets of each job; `up` is good."""
    found: dict[str, set[str]] = {}
    for each in answer(prometheus, "/api/v1/targets", state="active")["activeTargets"]:
        found.setdefault(each["labels"]["job"], set()).add(each["lastError"] or each["health"])
    return found


def spans(jaeger: httpx2.Client, trace: str) -> set[tuple[str, str]]:
    """Returns service and name of each span of a trace; none until Jaeger has decided that it keeps the trace."""
    found = jaeger.get(f"/api/traces/{trace}")
    traces = [] if found.status_code == 404 else found.raise_for_status().json()["data"]
    return {
        (each["processes"][span["processID"]]["serviceName"], span["operationName"])
        for each in traces
        for span in each["spans"]
    }


def silent(release: Release, prometheus: httpx2.Client) -> list[str]:
    """Returns the panels of the dashboard *Kubernetes* without data, except those that need kube-state-metrics."""
    wanted = [each for each in queries("kubernetes") if "kube_" not in each.expr]
    return [
        each.title for each in wanted if not values(prometheus, each.prepared(namespace=release.namespace), "instance")
    ]
