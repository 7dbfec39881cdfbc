"""Lab 13: an autoscaler that brings more pods of catalog during a sale."""

from typing import Any

from shopctl.labs import Lab, Missing
from shopctl.labs.looking import amount, objects, released_values, shop_is_ready_on_the_cluster
from shopctl.labs.reads import UNLIMITED, Load, pods, through_edge, through_pod

CPU = 0.1
"""The CPU limit of each pod of catalog: more pods are to help, not bigger ones."""
PODS, MOST = 3, 6
READS, CLIENTS = 300, 16
FASTER = 1.5
"""How many times as many reads a second come from all pods as from one; three equal pods give nearly three times."""


def metrics_are_there() -> None:
    if not objects("pods.metrics.k8s.io"):
        raise Missing("it has no measurements of this namespace")


lab = Lab()
lab.start("a shop on the cluster", remedy="make cluster-up", look=shop_is_ready_on_the_cluster)
lab.start("metrics-server", remedy="install it, or ask who runs the cluster", look=metrics_are_there)
lab.question("c", hint="Does a client wait for the others, as long as there is CPU time for all?")
lab.question("b", hint="Compare the rates of 4 and 16 clients in the table.")
lab.question("a", hint="Compare the times of 4 and 16 clients in the table.")
lab.question("b", hint="What did the refused client get, and when? How long did the served ones wait?")
lab.question(
    "c", hint="The target is a share of the request, 50m. How much of it can a pod use that is limited to 100m?"
)


@lab.check(
    f"{PODS} to {MOST} pods of catalog are ready, and none may use more than {CPU} CPU",
    points=1,
    hint="The load has to last until the autoscaler has acted, and the pods leave some minutes after it.",
)
def there_are_pods() -> None:
    found = pods("catalog")
    if bigger := [pod.cpu for pod in found if pod.cpu == UNLIMITED or amount(pod.cpu) > CPU]:
        raise Missing(f"the CPU limit of one is {bigger[0]}")
    if not PODS <= len(found) <= MOST:
        raise Missing(f"the number of ready pods is {len(found)}")


@lab.check(
    "an autoscaler of the release has added them, and goes back to one pod after the sale",
    points=3,
    hint="Which share of its request can a pod use at most? `kubectl get hpa` shows the use and the target.",
)
def an_autoscaler_added_them() -> None:
    given = released_values("catalog")["autoscaling"]
    found = {each["metadata"]["name"]: each for each in objects("horizontalpodautoscalers")}
    if not given["enabled"] or "catalog" not in found:
        raise Missing("the release has no autoscaler of catalog")
    spec, status = found["catalog"]["spec"], found["catalog"]["status"]
    target = spec["metrics"][0]["resource"]["target"]["averageUtilization"]
    if (least := spec["minReplicas"]) != 1:
        raise Missing(f"it never has fewer than {least} pods")
    if (least, spec["maxReplicas"], target) != (given["minReplicas"], given["maxReplicas"], given["cpu"]):
        raise Missing("it differs from the values of the release, so the next upgrade changes it")
    if (wanted := status.get("desiredReplicas", 0)) < PODS or "lastScaleTime" not in status:
        raise Missing(f"it wants {wanted}: a pod uses {use(status)} of its request, and the target is {target} %")
    there_are_pods()


def use(status: dict[str, Any]) -> str:
    """Say what an autoscaler has measured of CPU use, in percent of the request."""
    measured = [each["resource"]["current"] for each in status.get("currentMetrics") or () if "resource" in each]
    return f"{measured[0]['averageUtilization']} %" if measured else "an unknown share"


@lab.check(
    f"{CLIENTS} clients get at least {FASTER} times as many reads a second as one pod alone could answer",
    points=2,
    hint="`shopctl lab read --clients 16` shows what each pod answers. Does each get its share?",
    after=there_are_pods,
)
def the_sale_is_carried() -> None:
    through_edge(Load(READS, CLIENTS))  # a new pod is slow at first
    alone = through_pod(pods("catalog")[0], Load(READS, CLIENTS)).took.seconds
    together = through_edge(Load(PODS * READS, CLIENTS)).took.seconds / PODS
    if (faster := alone / together) < FASTER:
        raise Missing(f"they get {faster:.1f} times as many")
