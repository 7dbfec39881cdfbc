"""Nodes of a cluster that are drained, lose their power or are cut off, and pods that are deleted."""

import json
import shutil
from collections.abc import Sequence

from chassis.local.processes import StartError
from shopctl.chaos.cluster import Cluster, output, until
from shopctl.chaos.fault import Fault, State

__all__ = ["FAULTS"]

CLUSTER = frozenset({"cluster"})
LONG = (30.0, 60.0)
"""A cluster needs some 20 s to notice that a node does not answer."""


def _nodes(shop: Cluster) -> Sequence[str]:
    return shop.nodes


def _names(shop: Cluster) -> Sequence[str]:
    return shop.names


def _lacking(shop: Cluster) -> str | None:
    try:
        containers = output("docker", "ps", "--all", "--format={{.Names}}").split() if shutil.which("docker") else []
    except (StartError, OSError):
        containers = []
    return None if {*shop.nodes} <= {*containers} else "nodes that are containers of this machine's Docker Engine"


def _cordoned(shop: Cluster, on: str) -> State:
    return {"cordoned": shop.kubectl("get", "node", on, "--output=jsonpath={.spec.unschedulable}") == "true"}


def _drain(shop: Cluster, on: str, state: State) -> None:
    shop.kubectl("drain", on, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s")


def _uncordon(shop: Cluster, on: str, state: State) -> None:
    if not state["cordoned"]:
        shop.kubectl("uncordon", on)


def _power_off(shop: Cluster, on: str, state: State) -> None:
    output("docker", "stop", "--time=2", on)


def _power_on(shop: Cluster, on: str, state: State) -> None:
    output("docker", "start", on)
    shop.wait_for_node(on)


def _networks(node: str) -> dict[str, str]:
    """Returns the addresses of a node by the network that it is connected to."""
    (found,) = json.loads(output("docker", "inspect", node))
    return {name: each["IPAddress"] for name, each in found["NetworkSettings"]["Networks"].items()}


def _network(shop: Cluster, on: str) -> State:
    if not (networks := _networks(on)):
        raise StartError(f"{on} has no network: it is cut off already.")
    name, address = next(iter(networks.items()))
    return {"network": name, "address": address}


def _disconnect(shop: Cluster, on: str, state: State) -> None:
    output("docker", "network", "disconnect", state["network"], on)


def _connect(shop: Cluster, on: str, state: State) -> None:
    if state["network"] not in _networks(on):
        output("docker", "network", "connect", f"--ip={state['address']}", state["network"], on)
    shop.wait_for_node(on)


def _pod(shop: Cluster, on: str) -> State:
    pods = [each["metadata"] for each in shop.pods(on) if "deletionTimestamp" not in each["metadata"]]
    if not pods:
        raise StartError(f"{on} has no pod.")
    return {"pod": pods[0]["name"], "uid": pods[0]["uid"]}


def _delete(shop: Cluster, on: str, state: State) -> None:
    shop.kubectl("delete", "pod", "--wait=false", state["pod"])


def _replaced(shop: Cluster, on: str, state: State) -> None:
    """Waits until the pod is gone, if it was deleted, and its successor is ready, which may have the same name."""

    def gone() -> bool:
        left = (each["metadata"] for each in shop.pods(on) if each["metadata"]["uid"] == state["uid"])
        return not any("deletionTimestamp" in each for each in left)

    until(gone, f"the pod {state['pod']} is still terminating")
    shop.wait(on)


FAULTS = (
    Fault("drain-node", "moves all pods away from a node, as before maintenance", _nodes, _drain, _uncordon, CLUSTER,
          prepare=_cordoned),
    Fault("kill-node", "stops a node, as if its power were cut", _nodes, _power_off, _power_on, CLUSTER, LONG,
          needs=_lacking),
    Fault("cut-node", "disconnects a running node from its network", _nodes, _disconnect, _connect, CLUSTER, LONG,
          prepare=_network, needs=_lacking),
    Fault("delete-pod", "deletes one pod, which Kubernetes replaces", _names, _delete, _replaced, CLUSTER,
          prepare=_pod),
)  # fmt: skip
