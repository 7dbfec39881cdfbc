"""Faults of a cluster are undone in any state; a program in place of `kubectl` and `docker` says what there is.

`tests/cluster` injects them into a real one.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from chassis.local.processes import StartError
from shopctl.chaos import catalog
from shopctl.chaos.cluster import Cluster
from shopctl.chaos.injection import injected
from shopctl.place import Place

PROGRAM = """#!/bin/sh
echo "${0##*/} $*" >>calls
case "$*" in
  *" get pods "*) cat pods ;;
  *" get deployment,statefulset "*) cat workloads ;;
  *" get nodes "*) cat nodes ;;
  *unschedulable*) cat cordoned 2>/dev/null || : ;;
  *" get node "*) printf True ;;
  "inspect "*) cat networks ;;
  "ps "*) echo worker1; echo worker2 ;;
esac
"""
ORDER = {"kind": "Deployment", "metadata": {"name": "order", "labels": {"app.kubernetes.io/name": "order"}}}
POD = {"metadata": {"name": "order-1", "uid": "u-1"}}


class World:
    """What the programs answer, and how they were called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("kubectl", "docker"):
            (folder / name).write_text(PROGRAM)
            (folder / name).chmod(0o755)
        self.has(
            nodes={"items": [{"metadata": {"name": f"worker{n}"}, "spec": {}} for n in (1, 2)]},
            workloads={"items": [ORDER | {"spec": {"replicas": 3}}]},
            pods={"items": [POD]},
            networks=[{"NetworkSettings": {"Networks": {"kind": {"IPAddress": "172.30.0.12"}}}}],
        )

    def has(self, **answers: Any) -> None:
        for name, answer in answers.items():
            (self.folder / name).write_text(json.dumps(answer))

    def did(self) -> list[str]:
        """Returns the calls that change something, and forgets them."""
        calls = (self.folder / "calls").read_text().replace("--namespace=shop ", "").splitlines()
        (self.folder / "calls").write_text("")
        return [each for each in calls if each.split()[1] not in ("get", "inspect", "ps", "rollout")]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return World(tmp_path)


@pytest.fixture
def cluster(world: World) -> Cluster:
    return Cluster("shop", Place(Place.here().root, world.folder / "run"))


@pytest.mark.parametrize("name", ["drain-node", "kill-node", "cut-node", "delete-pod"])
def test_a_fault_that_never_began_can_be_undone_twice(cluster: Cluster, name: str) -> None:
    fault = catalog.find(name)
    on = fault.on(cluster)[0]
    state = fault.prepare(cluster, on)
    for _ in range(2):
        fault.end(cluster, on, state)


def test_a_node_is_connected_again_under_its_address_if_it_is_not(cluster: Cluster, world: World) -> None:
    with injected(cluster, catalog.find("cut-node"), "worker2"):
        assert world.did() == ["docker network disconnect kind worker2"]
        world.has(networks=[{"NetworkSettings": {"Networks": {}}}])
    assert world.did() == ["docker network connect --ip=172.30.0.12 kind worker2"]


def test_a_node_that_was_cordoned_stays_so(cluster: Cluster, world: World) -> None:
    with injected(cluster, catalog.find("drain-node"), "worker2"):
        world.did()
    assert world.did() == ["kubectl uncordon worker2"]
    world.has(cordoned=True)
    with injected(cluster, catalog.find("drain-node"), "worker2"):
        world.did()
    assert world.did() == []


@pytest.mark.parametrize(("name", "on", "lacks"), [("cut-node", "worker2", "network"), ("kill", "order", "pod")])
def test_a_fault_that_would_do_nothing_is_an_error(
    cluster: Cluster, world: World, name: str, on: str, lacks: str
) -> None:
    world.has(networks=[{"NetworkSettings": {"Networks": {}}}], pods={"items": []})
    with pytest.raises(StartError, match=f"has no {lacks}"), injected(cluster, catalog.find(name), on):
        pass


def test_a_pod_is_replaced_once_its_successor_has_another_id(cluster: Cluster, world: World) -> None:
    with injected(cluster, catalog.find("delete-pod"), "order"):
        assert world.did() == ["kubectl delete pod --wait=false order-1"]
        world.has(pods={"items": [{"metadata": {"name": "order-1", "uid": "u-2"}}]})


def test_what_is_stopped_has_as_many_pods_afterwards(cluster: Cluster, world: World) -> None:
    world.has(pods={"items": []})
    with injected(cluster, catalog.find("stop"), "order"):
        assert world.did() == [
            "kubectl annotate --overwrite deployment/order quayside.example/replicas=3",
            "kubectl scale deployment/order --replicas=0",
        ]
        kept = ORDER["metadata"] | {"annotations": {"quayside.example/replicas": "3"}}  # type: ignore[operator]
        world.has(workloads={"items": [ORDER | {"metadata": kept, "spec": {"replicas": 0}}]})
    assert world.did() == [
        "kubectl scale deployment/order --replicas=3",
        "kubectl annotate deployment/order quayside.example/replicas-",
    ]


def test_faults_of_nodes_need_nodes_that_are_containers(cluster: Cluster, world: World) -> None:
    def possible() -> set[str]:
        return {each.name for each in catalog.possible(cluster)}

    assert {"drain-node", "kill-node", "cut-node"} <= possible()
    world.has(nodes={"items": [{"metadata": {"name": "a-machine"}, "spec": {}}]})
    del cluster.__dict__["nodes"]
    assert possible() & {"drain-node", "kill-node", "cut-node"} == {"drain-node"}
