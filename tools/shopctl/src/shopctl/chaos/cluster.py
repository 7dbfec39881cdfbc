"""An installed release of the charts as the target of faults, by kubectl and the cluster that KUBECONFIG names."""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from chassis.local import processes
from chassis.local.processes import StartError
from shopctl.place import Place

__all__ = ["Cluster", "output", "until"]

REPLICAS = "quayside.example/replicas"
"""The annotation that keeps the number of replicas of what is stopped."""
PODS = "app.kubernetes.io/component in (api,worker)"
READY_SECONDS = 180
WAIT_SECONDS = 120.0


@dataclass(frozen=True)
class Cluster:
    """The shop in a namespace. Notes about its faults are in `.run/clusters/<namespace>`."""

    namespace: str
    place: Place
    runtime: str = "cluster"

    @classmethod
    def of(cls, namespace: str) -> "Cluster":
        place = Place.here()
        return cls(namespace, replace(place, run=place.run / "clusters" / namespace))

    @cached_property
    def names(self) -> Sequence[str]:
        """The services, stores and the edge that are installed."""
        apps = {each["metadata"]["labels"].get("app.kubernetes.io/name") for each in self._workloads()}
        return [name for name in self.place.ports if name in apps]

    @cached_property
    def nodes(self) -> Sequence[str]:
        """The nodes that run pods."""
        found = json.loads(self.kubectl("get", "nodes", "--output=json"))["items"]
        taints = {each["metadata"]["name"]: each["spec"].get("taints", ()) for each in found}
        return sorted(node for node, of in taints.items() if not any(each["effect"] == "NoSchedule" for each in of))

    def start(self, name: str, **settings: str) -> None:
        for workload in self._workloads(name):
            if before := workload["metadata"].get("annotations", {}).get(REPLICAS):
                self.kubectl("scale", _reference(workload), f"--replicas={before}")
                self.kubectl("annotate", _reference(workload), f"{REPLICAS}-")
        self.wait(name)

    def stop(self, *names: str) -> None:
        for workload in (each for name in names for each in self._workloads(name)):
            if replicas := workload["spec"]["replicas"]:
                self.kubectl("annotate", "--overwrite", _reference(workload), f"{REPLICAS}={replicas}")
                self.kubectl("scale", _reference(workload), "--replicas=0")
        until(lambda: not any(map(self.pods, names)), f"{', '.join(names)} still has pods")

    def kill(self, name: str) -> None:
        """Delete its pods: SIGTERM, and SIGKILL a second later. Raises StartError if there are none."""
        if not (pods := [each["metadata"]["name"] for each in self.pods(name)]):
            raise StartError(f"{name} has no pod.")
        self.kubectl("delete", "pod", "--now", *pods)

    def freeze(self, name: str) -> None:
        raise StartError("A pod cannot be frozen.")

    def thaw(self, name: str) -> None:
        pass

    def execute(self, name: str, *argv: str, input: str = "") -> str:
        return self.kubectl("exec", "--stdin", f"statefulset/{name}", "--", *argv, input=input)

    def pods(self, name: str) -> list[dict[str, Any]]:
        """The pods of one, including those that are terminating."""
        found = self.kubectl("get", "pods", f"--selector=app.kubernetes.io/name={name},{PODS}", "--output=json")
        return list(json.loads(found)["items"])

    def wait(self, name: str) -> None:
        """Wait until all its pods are ready. Raises StartError."""
        for workload in self._workloads(name):
            self.kubectl("rollout", "status", _reference(workload), f"--timeout={READY_SECONDS}s")

    def wait_for_node(self, node: str) -> None:
        """Wait until a node is ready. Raises StartError."""
        ready = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
        until(lambda: self.kubectl("get", "node", node, f"--output={ready}") == "True", f"{node} is not ready")

    def kubectl(self, *arguments: str, input: str = "") -> str:
        return output("kubectl", f"--namespace={self.namespace}", *arguments, input=input)

    def _workloads(self, name: str | None = None) -> list[dict[str, Any]]:
        """The Deployments and StatefulSets of one, or of all."""
        selector = "app.kubernetes.io/part-of=quayside" + (f",app.kubernetes.io/name={name}" if name else "")
        found = json.loads(self.kubectl("get", "deployment,statefulset", f"--selector={selector}", "--output=json"))
        return list(found["items"])


def _reference(workload: dict[str, Any]) -> str:
    return f"{workload['kind'].lower()}/{workload['metadata']['name']}"


def output(*argv: str, input: str = "") -> str:
    """Runs a program, and returns its output. Raises StartError or OSError."""
    # Over WebSockets, the end of the output of `kubectl exec` was sometimes lost.
    environment = os.environ | {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"}
    return processes.output(*argv, input=input, timeout=300, env=environment)


def until(holds: Callable[[], bool], otherwise: str, seconds: float = WAIT_SECONDS) -> None:
    """Waits until `holds()` is true. Raises StartError after `seconds`."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise StartError(f"{otherwise} after {seconds:g} s")
        time.sleep(0.5)
