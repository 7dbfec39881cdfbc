"""Lab 10: two replicas on two nodes, budgets, and a release that says so."""

from shopctl.labs import Lab, Missing, looking

lab = Lab()

REPLICATED = ("catalog", "edge")

lab.start(
    "the shop is ready in the current namespace",
    remedy="make cluster-up REGISTRY=… NAMESPACE=…, as in lab 5",
    look=looking.shop_is_ready_on_the_cluster,
)


def nodes_are_containers_here() -> None:
    nodes = {each["metadata"]["name"] for each in looking.objects("nodes") if not each["spec"].get("taints")}
    if len(nodes) < 2:
        raise Missing(f"{len(nodes)} nodes are open for pods")
    if absent := nodes - set(looking.said("docker", "ps", "--format", "{{.Names}}").split()):
        raise Missing(f"{', '.join(sorted(absent))} is no container of this machine")


lab.start(
    "two nodes are open for pods, and are containers of this machine's Docker Engine",
    remedy="create a cluster with kind, as in docs/kubernetes.md",
    look=nodes_are_containers_here,
)

lab.question("b", hint="look at what the customer lost with one replica")
lab.question("c", hint="look at what the customer lost with two replicas")
lab.question("b", hint="after how many seconds was it noticed?")
lab.question("a", hint="the cable was pulled, not the plug; were the containers started again?")


@lab.check(
    "catalog and edge have two ready pods each, on two nodes",
    points=2,
    hint="the charts spread the pods; `kubectl get pods --output wide`",
)
def two_of_each() -> None:
    for app in REPLICATED:
        pods = looking.objects("pods", "--selector", f"app.kubernetes.io/name={app},app.kubernetes.io/component=api")
        ready = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"] and looking.is_ready(pod)]
        nodes = {pod["spec"]["nodeName"] for pod in ready}
        if len(ready) < 2 or len(nodes) < 2:
            raise Missing(f"{app} has {len(ready)} ready pods on {len(nodes)} nodes")


@lab.check("a budget for each lets one pod be evicted", points=2, hint="a PodDisruptionBudget: who could create it?")
def budgets_permit_one() -> None:
    budgets = looking.objects("poddisruptionbudgets")
    for app in REPLICATED:
        of_app = [each for each in budgets if selects(each["spec"].get("selector", {}), app)]
        if not of_app:
            raise Missing(f"there is no budget for {app}")
        if len(of_app) > 1:
            raise Missing(f"{app} has {len(of_app)} budgets, and with more than one nothing is evicted")
        if (allowed := of_app[0]["status"].get("disruptionsAllowed", 0)) != 1:
            raise Missing(f"that of {app} permits {allowed} evictions")


def selects(selector: dict[str, dict[str, str]], app: str) -> bool:
    return selector.get("matchLabels", {}).get("app.kubernetes.io/name") == app


@lab.check("the release says that there are two", points=2, hint="`helm get values shop`; docs/kubernetes.md, Scaling")
def release_says_so() -> None:
    for app in REPLICATED:
        count = looking.released_replicas(app) or 0
        if count < 2:
            raise Missing(f"its Deployment {app} has {count} pod{'s' * (count != 1)}")
