"""A release of the shop on the cluster that KUBECONFIG names, with operations on its pods and nodes."""

import base64
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from chassis.db import migrations
from shopctl import edge, services
from shopctl.chaos.catalog import find
from shopctl.chaos.cluster import Cluster
from shopctl.chaos.injection import injected

ROOT = Path(__file__).parents[2]
SERVICES = (*services.load(ROOT).upstreams, "edge")
REVISION = migrations.head("order")
"""The newest revision of order's schema; the next release has one more."""
NEXT_REVISION = f"{int(REVISION) + 1:04}"
STORES = ("postgres", "rabbitmq", "valkey", "psp")


def run(
    *argv: str, stdin: str | None = None, timeout: float = 300, check: bool = True, cwd: Path = ROOT, **env: str
) -> str:
    """Runs a command, and returns its stdout. Raises AssertionError with its stderr if it fails."""
    done = subprocess.run(
        argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False, cwd=cwd, env=os.environ | env
    )
    if check:
        assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout}{done.stderr}"
    return done.stdout if check else done.stdout + done.stderr


@dataclass
class Release:
    """A Helm release. `home` is the node that holds the stores' volumes, `other` the node that tests take away."""

    registry: str
    namespace: str = "quayside-test"
    node_port: int = 30080
    name: str = "shop"
    values: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)

    def kubectl(self, *arguments: str, **options: Any) -> str:
        # Over WebSockets, the end of a command's output was sometimes lost.
        options = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", **options}
        return run("kubectl", "--namespace", self.namespace, *arguments, **options)

    def helm(self, *arguments: str, **options: Any) -> str:
        return run(os.environ.get("HELM", "helm"), "--namespace", self.namespace, *arguments, **options)

    def get(self, *what: str) -> Any:
        return json.loads(self.kubectl("get", *what, "--output", "json"))

    def create(self) -> None:
        """Creates an empty namespace that accepts only restricted pods."""
        self.remove()
        made = (ROOT / "charts" / "namespace.yaml").read_text().replace("name: quayside", f"name: {self.namespace}")
        run("kubectl", "apply", "--filename", "-", stdin=made)

    def remove(self) -> None:
        for name in self.releases():
            self.helm("uninstall", name, "--timeout", "120s", check=False)
        self.kubectl("delete", "pods", "--all", "--now", "--wait=false")
        run("kubectl", "delete", "namespace", self.namespace, "--ignore-not-found", "--timeout=180s")

    def releases(self) -> list[str]:
        """Returns the names of all releases in the namespace, including failed and pending ones."""
        return self.helm("list", "--deployed", "--failed", "--pending", "--short").split()

    def upgrade(self, **values: str) -> None:
        """Installs the release, or changes these values (`order_replicas` is `order.replicas`) and keeps the others."""
        self.values |= {name.replace("_", "."): value for name, value in values.items()}
        options = [f"--set={name}={value}" for name, value in self.values.items()]
        options += [f"--values={file}" for file in self.files]
        self.helm("upgrade", "--install", self.name, "charts/shop", *options, *self._insisting)

    def uninstall(self) -> None:
        self.helm("uninstall", self.name, "--wait", "--cascade", "foreground", "--timeout", "120s")

    def rollback(self) -> None:
        self.helm("rollback", self.name, *self._insisting)

    @cached_property
    def _insisting(self) -> list[str]:
        """Options that make Helm 4 overwrite fields that another tool, such as `kubectl scale`, has changed."""
        return ["--force-conflicts"] if self.helm("version", "--short").startswith("v4") else []

    def settled(self, timeout: int = 240) -> None:
        """Waits until every Deployment and StatefulSet has completed its rollout."""
        names = self.kubectl("get", "deployment,statefulset", "--output", "name").split()
        for name in names:
            self.kubectl("rollout", "status", name, f"--timeout={timeout}s", timeout=timeout + 10)

    def reached(self) -> None:
        """Waits until the edge reaches the installed services: it looks up addresses a moment after pods are ready."""
        host, port = self.address(self.home).removeprefix("http://").split(":")
        installed = [each for each in services.load(ROOT) if each.routes and self.pods(each.name)]
        edge.wait_for((host, int(port)), installed, seconds=60)

    def pods(self, name: str) -> list[dict[str, Any]]:
        """Returns the pods of an app, except those that are terminating."""
        which = f"app.kubernetes.io/name={name},app.kubernetes.io/component in (api,worker)"
        found = self.get("pods", "--selector", which)
        return [pod for pod in found["items"] if "deletionTimestamp" not in pod["metadata"]]

    @cached_property
    def nodes(self) -> list[str]:
        """The names of the nodes that run pods."""
        nodes = [*self.cluster.nodes]
        assert len(nodes) > 1, "these tests need two nodes that run pods"
        return nodes

    @cached_property
    def cluster(self) -> Cluster:
        """The target of faults."""
        return Cluster.of(self.namespace)

    @property
    def home(self) -> str:
        return self.nodes[0]

    @property
    def other(self) -> str:
        return self.nodes[1]

    @cached_property
    def place(self) -> SimpleNamespace:
        """The address of the shop and the administrator's credentials, as `Shopper` and `Admin` expect them."""
        password = base64.b64decode(self.get("secret", "shop")["data"]["admin-password"]).decode()
        return SimpleNamespace(address=self.address(self.home), admin=("admin@quayside.example", password))

    def address(self, node: str) -> str:
        """Returns the URL of the edge at a node."""
        addresses = json.loads(run("kubectl", "get", "node", node, "--output", "json"))["status"]["addresses"]
        ip = next(each["address"] for each in addresses if each["type"] == "InternalIP")
        return f"http://{ip}:{self.node_port}"

    def audit(self, attempts: Path | None = None) -> str:
        """Runs `shopctl audit` in the cluster, and returns its output. Raises AssertionError if an invariant fails."""
        self._auditor()
        given = ["--attempts", "/tmp/attempts.jsonl"] if attempts else []
        into = ["exec", "--stdin", "pod/auditor", "--"]
        if attempts:
            self.kubectl(*into, "sh", "-c", "cat > /tmp/attempts.jsonl", stdin=attempts.read_text())
        command = ["python", "-m", "shopctl", "audit", "--wait", "120", *given]
        deadline = time.monotonic() + 60
        while True:
            said = self.kubectl(*into, *command, check=False)
            if "A10 ok" in said and "FAIL" not in said:
                return said
            # The cluster may still be cleaning up after a fault.
            assert "cannot be read" in said, said
            assert time.monotonic() < deadline, said
            time.sleep(1)

    def _auditor(self) -> None:
        """Ensures that a pod for audit commands runs, made from the audit's CronJob. It is lost with its node."""
        state = "jsonpath={.status.phase} {.metadata.deletionTimestamp}"
        if self.kubectl("get", "pod", "auditor", "--ignore-not-found", "--output", state).strip() == "Running":
            return
        self.kubectl("delete", "pod", "auditor", "--ignore-not-found", "--now")
        template = self.get("cronjob", "shop-audit")["spec"]["jobTemplate"]["spec"]["template"]
        pod = template["spec"] | {"nodeName": self.home}
        pod["containers"][0] |= {"command": ["sleep"], "args": ["infinity"]}
        meta = {"name": "auditor", "labels": template["metadata"]["labels"]}
        document = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod}
        self.kubectl("apply", "--filename", "-", stdin=json.dumps(document))
        self.kubectl("wait", "--for=condition=Ready", "pod/auditor", "--timeout=120s")

    def memory(self) -> dict[str, int]:
        """Returns the working set in bytes of each pod that the metrics server knows, which is none at first."""
        lines = map(str.split, self.kubectl("top", "pods", "--no-headers", check=False).splitlines())
        return {line[0]: int(line[2].removesuffix("Mi")) * 2**20 for line in lines if len(line) == 3}

    @contextmanager
    def disturbed(self, fault: str, on: str) -> Iterator[None]:
        """Injects a fault of the catalog inside the block; at the end it is undone, and its pods or node are ready."""
        with injected(self.cluster, find(fault), on):
            yield

    def node_is(self, node: str, ready: str, seconds: float = 120) -> None:
        """Waits until the node's condition Ready is `True`, `False` or `Unknown`."""

        def holds() -> bool:
            conditions = json.loads(run("kubectl", "get", "node", node, "--output", "json"))["status"]["conditions"]
            return any(each["type"] == "Ready" and each["status"] == ready for each in conditions)

        until(holds, seconds, f"{node} is not Ready={ready}")


def until(holds: Callable[[], object], seconds: float, otherwise: str | Callable[[], str]) -> None:
    """Waits until `holds()` is true. Raises AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while not holds():
        late = time.monotonic() > end
        assert not late, f"{otherwise if isinstance(otherwise, str) else otherwise()} after {seconds} s"
        time.sleep(0.5)
