"""Lab 10: two replicas on two nodes, budgets, and a release that says so."""

from shopctl.labs import Lab, Missing, looking

lab = Lab()

REPLICATED = ("catalog", "edge")

lab.start(
    "the shop is ready in the current namespace",
    remedy="make cluster-up REGISTRY=… NAMESPACE=…, as in lab 6",
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
        ready = looking.api_pods(app)
        nodes = {pod["spec"]["nodeName"] for pod in ready}
        if len(ready) < 2 or len(nodes) < 2:
            raise Missing(f"{app} has {len(ready)} ready pods on {len(nodes)} nodes")


@lab.check("a budget for each lets one pod be evicted", points=2, hint="a PodDisruptionBudget: who could create it?")
def budgets_permit_one() -> None:
    for app in REPLICATED:
        looking.one_may_be_evicted(app, looking.api_pods(app))


@lab.check("the release says that there are two", points=2, hint="`helm get values shop`; docs/kubernetes.md, Scaling")
def release_says_so() -> None:
    for app in REPLICATED:
        if (count := looking.released_replicas(app)) < 2:
            raise Missing(f"its Deployment {app} has {count} pod")
    looking.release_is_deployed()
