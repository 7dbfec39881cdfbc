"""Lab 8: which node a pod gets, and rules that survive an update and a drain."""

from typing import Any

from shopctl.labs import Lab, Missing, looking

lab = Lab()

lab.start(
    "the shop is ready in the current namespace",
    remedy="make cluster-up REGISTRY=… NAMESPACE=…, as in lab 6",
    look=looking.shop_is_ready_on_the_cluster,
)


def two_nodes_are_open() -> None:
    open_nodes = [each["metadata"]["name"] for each in looking.objects("nodes") if not each["spec"].get("taints")]
    if len(open_nodes) != 2:
        raise Missing(f"these nodes are: {', '.join(open_nodes) or 'none'}")


def nodes_may_be_closed() -> None:
    looking.said("kubectl", "auth", "can-i", "patch", "nodes")


lab.start(
    "two nodes are open for pods",
    remedy="kubectl uncordon NODE, or a cluster with two workers as in docs/kubernetes.md",
    look=two_nodes_are_open,
)
lab.start("you may close nodes", remedy="use a cluster of your own", look=nodes_may_be_closed)

lab.question("5", hint="does a closed node still count for the spread?")
lab.question("a", hint="NoSchedule is about scheduling, and pods are scheduled once")
lab.question("b", hint="how many pods of batch run in the end?")
lab.question("c", hint="who asks a budget?")
lab.question("b", hint="where could the third pod run?")


def running_pods() -> list[dict[str, Any]]:
    pods = looking.objects("pods", "--selector", "app=api", "--field-selector", "status.phase=Running")
    return [each for each in pods if "deletionTimestamp" not in each["metadata"]]


def api() -> dict[str, Any]:
    (found,) = looking.objects("deployment", "api")
    if (wanted := found["spec"]["replicas"]) != 2:
        raise Missing(f"api has {wanted} pods")
    return found


@lab.check("the two pods of api run on two nodes", points=2, hint="which rules look at the pods on a node?")
def pods_are_apart() -> None:
    api()
    pods = running_pods()
    nodes = {each["spec"]["nodeName"] for each in pods}
    if (len(pods), len(nodes)) != (2, 2):
        raise Missing(f"{len(pods)} pods on {len(nodes)} nodes")


@lab.check(
    "an update of api has completed, and takes away no pod too early",
    points=2,
    hint="a rule may apply to the pods of one revision only: read about matchLabelKeys; an old pod with required "
    "anti-affinity keeps out new ones",
)
def updates_complete() -> None:
    found = api()
    rolling = found["spec"]["strategy"].get("rollingUpdate", {"maxUnavailable": 2})
    if (least := taken_away(rolling["maxUnavailable"], 2)) > 0:
        raise Missing(f"an update may take {least} of 2 pods away")
    status = found["status"]
    if found["metadata"]["generation"] != status["observedGeneration"]:
        raise Missing("the update has only begun")
    if (updated := status.get("updatedReplicas", 0)) != 2 or status["replicas"] != 2 or "unavailableReplicas" in status:
        raise Missing(f"{updated} of {status['replicas']} pods have been updated")
    affinity = found["spec"]["template"]["spec"].get("affinity", {}).get("podAntiAffinity", {})
    labels = found["spec"]["template"]["metadata"]["labels"]
    for term in affinity.get("requiredDuringSchedulingIgnoredDuringExecution", ()):
        of_one_revision = "pod-template-hash" in term.get("matchLabelKeys", ())
        if looking.selects(term.get("labelSelector"), labels) and not of_one_revision:
            raise Missing("a pod more than nodes still fits nowhere, so the next update stands still")


def taken_away(allowed: int | str, of: int) -> int:
    """Return how many pods an update may take away. A percentage is rounded down, as Kubernetes does."""
    return of * int(allowed.rstrip("%")) // 100 if isinstance(allowed, str) else allowed


@lab.check(
    "a budget lets one pod of api be evicted, and keeps the other",
    points=2,
    hint="`kubectl get poddisruptionbudgets` shows how many evictions are allowed now",
)
def budget() -> None:
    api()
    looking.one_may_be_evicted("api", running_pods())
