"""Measures orders per CPU-second on the cluster and in Compose: `make cluster-bench REGISTRY=localhost:5000`."""

import asyncio
import base64
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from release import ROOT, SERVICES, STORES, Release, run

from chassis.local.processes import free_ports
from shopctl import shelves
from shopctl.bench import checkout
from shopctl.bench.figures import table
from shopctl.compose import ComposeShop
from shopctl.console import out
from shopctl.place import Place

ORDERS = 1500
ROUNDS = 2


@dataclass(frozen=True)
class Pod:
    """A pod, with the interface that the benchmark expects of a process."""

    release: Release
    name: str

    def cpu(self) -> float:
        """Returns the CPU seconds, user and system, of the pod's control group, version 1 or 2."""
        look = "cat /sys/fs/cgroup/cpuacct/cpuacct.usage /sys/fs/cgroup/cpu.stat 2>/dev/null || true"
        said = self.release.kubectl("exec", self.name, "--", "sh", "-c", look)
        if version_2 := re.search(r"^usage_usec (\d+)", said, re.MULTILINE):
            return int(version_2[1]) / 1e6
        return int(said.split()[0]) / 1e9


@dataclass(frozen=True)
class Pods:
    """A release, with the interface that the benchmark expects of a shop."""

    release: Release
    place: SimpleNamespace

    def address(self, name: str) -> tuple[str, int]:
        assert name == "edge"
        host, port = self.release.address(self.release.home).removeprefix("http://").split(":")
        return host, int(port)

    def processes(self) -> dict[str, list[Pod]]:
        names = [*SERVICES, *STORES]
        return {name: [Pod(self.release, pod["metadata"]["name"]) for pod in self.release.pods(name)] for name in names}


@contextmanager
def on_the_cluster(registry: str) -> Iterator[Pods]:
    release = Release(registry, namespace="quayside-bench", node_port=30082)
    images = f"{registry}/quayside"
    run("docker", "buildx", "bake", "--push", IMAGES=images, TAG="bench", timeout=900)
    release.create()
    try:
        release.upgrade(
            global_registry=registry,
            global_tag="bench",
            edge_service_type="NodePort",
            edge_service_nodePort=str(release.node_port),
            edge_rateLimit_enabled="false",
        )
        release.helm("test", release.name, "--timeout", "300s")
        release.settled()
        password = base64.b64decode(release.get("secret", "stores")["data"]["AUDITOR_PASSWORD"]).decode()
        (port,) = free_ports(1)
        forward = ["kubectl", "--namespace", release.namespace, "port-forward", "pod/postgres-0", f"{port}:5432"]
        with subprocess.Popen(forward, stdout=subprocess.DEVNULL) as forwarding:
            release.place.database_url = lambda role, name: f"postgresql://{role}:{password}@127.0.0.1:{port}/{name}"
            try:
                yield Pods(release, release.place)
            finally:
                forwarding.terminate()
    finally:
        release.remove()


@contextmanager
def by_compose() -> Iterator[ComposeShop]:
    with tempfile.TemporaryDirectory() as folder:
        shop = ComposeShop(Place(ROOT, Path(folder), 11_000))
        os.environ["RATE_LIMIT"] = "off"
        shop.up()
        try:
            yield shop
        finally:
            shop.reset()


async def main() -> None:
    orders_per_cpu_second: dict[str, list[float]] = {"Compose": [], "cluster": []}
    registry = os.environ.get("REGISTRY") or "localhost:5000"
    with by_compose() as compose, on_the_cluster(registry) as pods:
        for shop in (compose, pods):
            await shelves.fill(shop.place.address, shop.place.admin)
        for shop, name in ((compose, "Compose"), (pods, "cluster")) * ROUNDS:
            orders = await checkout.prepared(shop, ORDERS + 100)
            await checkout.measure(shop, checkout.LOADS[0], orders[:100])
            figures = await checkout.measure(shop, checkout.LOADS[0], orders[100:])
            orders_per_cpu_second[name] += [each.value for each in figures if each.name == "confirmed per CPU-second"]
            out.print(f"\n[bold]{name}[/bold]", table(figures))
    ratio = sum(orders_per_cpu_second["cluster"]) / sum(orders_per_cpu_second["Compose"])
    out.print(f"\norders per CPU-second, cluster against Compose: {ratio:.2f}")


if __name__ == "__main__":
    asyncio.run(main())
