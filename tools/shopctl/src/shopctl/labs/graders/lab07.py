"""Lab 7: requests, limits, the class of a pod, and the autoscaler."""

from typing import Any

from shopctl.labs import Lab, Missing, looking

lab = Lab()

lab.start(
    "the shop is ready in the current namespace",
    remedy="make cluster-up REGISTRY=… NAMESPACE=…, as in lab 6",
    look=looking.shop_is_ready_on_the_cluster,
)


def metrics_answer() -> None:
    looking.said("kubectl", "top", "pods")


lab.start(
    "the cluster knows what pods use",
    remedy="install metrics-server, or ask for it, and wait for a minute",
    look=metrics_answer,
)

lab.question("c", hint="what is a request that is not set, if there is a limit?")
lab.question("b", hint="the scheduler does not look at what pods use")
lab.question("c", hint="a limit also holds while the node is idle")
lab.question("c", hint="look at the pod disk: who would make another one?")
lab.question("2", hint="1 × 400 ÷ 300, and half a pod is a whole one")


def pod_of_report() -> dict[str, Any]:
    """Return the newest pod of report that is not being deleted."""
    pods = [each for each in looking.objects("pods", "--selector", "app=report") if not deleted(each)]
    if not pods:
        raise Missing("report has no pod")
    return max(pods, key=lambda pod: pod["metadata"]["creationTimestamp"])


def deleted(thing: dict[str, Any]) -> bool:
    return "deletionTimestamp" in thing["metadata"]


@lab.check(
    "report runs with all of its memory, and was never killed",
    points=2,
    hint="how much memory does the program hold, and how much may it?",
)
def report_runs() -> None:
    pod = pod_of_report()
    for container in pod["status"].get("containerStatuses", []):
        ended = container["lastState"].get("terminated") or container["state"].get("terminated")
        if ended:
            raise Missing(f"its container was ended: {ended['reason']}")
        if not container["ready"]:
            raise Missing("its container is not ready")
    status = looking.said("kubectl", "exec", pod["metadata"]["name"], "--", "grep", "VmRSS", "/proc/1/status")
    held = int(status.split()[1]) / 1000
    if held < 90:
        raise Missing(f"it holds only {held:.0f} MB: the program was changed, or has not read everything yet")


@lab.check(
    "the pod of report is Guaranteed, and reserves at most 200m of CPU and 200Mi of memory",
    points=2,
    hint="what must be equal, and for which two resources?",
)
def report_is_guaranteed() -> None:
    pod = pod_of_report()
    if (found := pod["status"]["qosClass"]) != "Guaranteed":
        raise Missing(f"it is {found}")
    parts = [pod["spec"]] if pod["spec"].get("resources") else pod["spec"]["containers"]
    requests = [part["resources"]["requests"] for part in parts]
    for resource, most in (("cpu", "200m"), ("memory", "200Mi")):
        if sum(looking.amount(each[resource]) for each in requests) > looking.amount(most):
            raise Missing(f"it reserves {', '.join(each[resource] for each in requests)} of {resource}")


@lab.check(
    "the autoscaler of catalog, from 1 to 5 pods, has settled at 3",
    points=3,
    hint="⌈1 × use ÷ target⌉ is to be 3, in percent of the request, and `kubectl describe hpa catalog` tells the use; "
    "after a target that was too low, remove the autoscaler, scale to 1 pod, and start again",
)
def catalog_scales() -> None:
    found = [each for each in looking.objects("hpa") if each["spec"]["scaleTargetRef"]["name"] == "catalog"]
    if not found:
        raise Missing("there is no autoscaler for catalog")
    spec, status = found[0]["spec"], found[0].get("status", {})
    least, most = spec.get("minReplicas", 1), spec["maxReplicas"]
    if (least, most) != (1, 5):
        raise Missing(f"it goes from {least} to {most} pods")
    wanted = status.get("desiredReplicas", 0)
    if wanted != 3:
        targets = [each.get("resource", {}).get("target", {}).get("averageUtilization") for each in spec["metrics"]]
        raise Missing(f"it wants {wanted or 'nothing yet'} for a target of {targets[0]} %")
    if any(each.get("reason") == "ScaleDownStabilized" for each in status.get("conditions", ())):
        raise Missing("it will take pods away: by its target there should be fewer than 3")
    (catalog,) = looking.objects("deployment", "catalog")
    if (ready := catalog["status"].get("readyReplicas", 0)) != 3:
        raise Missing(f"it wants 3 pods, and {ready} are ready")
