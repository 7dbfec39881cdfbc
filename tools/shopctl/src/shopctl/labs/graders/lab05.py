"""Lab 5: a Deployment and a Service that were broken in three places work."""

from typing import Any

from shopctl.labs import Lab, Missing
from shopctl.labs.looking import cluster_answers, current_namespace, objects, ready_pods, said

LEVEL = "pod-security.kubernetes.io/enforce"
"""The label by which a namespace refuses pods with privileges."""

lab = Lab()


def namespace_is_restricted() -> None:
    (found,) = objects("namespace", current_namespace())
    if (level := found["metadata"].get("labels", {}).get(LEVEL)) != "restricted":
        raise Missing(f"its label {LEVEL} is {level or 'absent'}, not restricted")


lab.start(
    "a cluster answers, and its current namespace admits you", remedy="see the lab's first step", look=cluster_answers
)
lab.start(
    "the namespace refuses pods with privileges",
    remedy=f"kubectl label --overwrite namespace $NAMESPACE {LEVEL}=restricted",
    look=namespace_is_restricted,
)

lab.question("b", hint="How many pods has the Service to choose from, and what does one pod know of the other?")
lab.question(
    "c", hint="A ReplicaSet counts the pods that its selector finds. What about a pod that it no longer finds?"
)
lab.question("a", hint="A rolling update stops an old pod only when a new one is ready.")
lab.question("c", hint="Compare what the answer to the PATCH said of wanted and of ready pods.")


def deployment() -> dict[str, Any]:
    found = [each for each in objects("deployments") if each["metadata"]["name"] == "bank"]
    if not found:
        raise Missing("this namespace has no Deployment bank")
    return found[0]


@lab.check(
    "the Deployment bank has two pods, and both are ready",
    points=2,
    hint="If there are no pods, `kubectl describe replicaset` says why; if there are, `kubectl logs` does.",
)
def ready() -> None:
    status = deployment()["status"]
    if status.get("updatedReplicas", 0) < 2 or status.get("readyReplicas", 0) < 2 or status["replicas"] > 2:
        count = status.get("replicas", 0)
        raise Missing(f"it has {count} pod{'' if count == 1 else 's'}, {status.get('readyReplicas', 0)} ready")


@lab.check(
    "its pods ask for no privileges",
    points=1,
    hint="Change the pods, not the rule of the namespace. The warning at `kubectl apply` names each field.",
)
def unprivileged() -> None:
    namespace_is_restricted()
    template = deployment()["spec"]["template"]["spec"]
    for container in template["containers"]:
        context = template.get("securityContext", {}) | container.get("securityContext", {})
        if not context.get("runAsNonRoot"):
            raise Missing("runAsNonRoot is not set")
        if context.get("allowPrivilegeEscalation") is not False:
            raise Missing("allowPrivilegeEscalation is not false")


@lab.check(
    "the Service bank sends requests to the pods of bank alone, and they answer",
    points=2,
    hint="Compare `kubectl get endpointslices` with the pods' addresses, and with the port on which psp listens.",
)
def served() -> None:
    slices = objects("endpointslices", "--selector", "kubernetes.io/service-name=bank")
    targets = {
        each["targetRef"]["name"]
        for part in slices
        for each in part["endpoints"] or []
        if each["conditions"]["ready"] and "targetRef" in each
    }
    ours = {pod["metadata"]["name"] for pod in ready_pods("app=bank")}
    if strangers := targets - ours:
        raise Missing(f"it sends requests to {min(strangers)}, which is not a pod of bank")
    if not targets:
        raise Missing("it has no ready pod to which it can send requests")
    namespace = slices[0]["metadata"]["namespace"]
    said("kubectl", "get", "--raw", f"/api/v1/namespaces/{namespace}/services/bank:80/proxy/health/ready", within=15)
