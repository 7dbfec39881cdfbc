"""Lab 9: three pods of catalog, one of them slow, and an edge that spares the slow one."""

from functools import cache

from shopctl.labs import Lab, Missing
from shopctl.labs.looking import kubernetes_is_at_least, released_values, shop_is_ready_on_the_cluster, told
from shopctl.labs.reads import Load, pods, through_edge

READS, CLIENTS, ADDRESSES = 300, 9, 30
SPARED = READS // 5
"""The most reads that the slow pod may answer; an equal share would be a third."""

lab = Lab()
lab.start(
    "Kubernetes 1.33 or newer, and kubectl 1.32 or newer",
    remedy="update what is too old; kind makes a new cluster",
    look=lambda: kubernetes_is_at_least(33),
)
lab.start("a shop on the cluster", remedy="make cluster-up", look=shop_is_ready_on_the_cluster)
lab.question("a", hint="Does the edge choose a pod for each connection, or for each request?")
lab.question("b", hint="Read the counts of the Service again, those with one connection that is kept.")
lab.question("b", hint="Look at the counts of 30 addresses: which of the three answers describes them?")
lab.question("c", hint="If each client must ask the slow pod in turn, how many of the nine wait there after a moment?")
lab.question("c", hint="Count with least-connections: is it zero, a third, or something between?")


@lab.check("catalog has three pods, and one of them is slow", points=1, hint="The sections Run and Break tell how.")
def three_pods() -> None:
    found = pods("catalog")
    if len(found) != 3:
        raise Missing(f"{len(found)} pods of catalog are ready")
    if (slow := sum(pod.slow for pod in found)) != 1:
        raise Missing(f"{slow} of them may use at most a tenth of a CPU")


@lab.check(
    f"of {READS} reads by {CLIENTS} clients, the slow pod answers some, at most {SPARED}",
    points=3,
    hint="The edge must choose the pod that has the least to do. Which policy knows that?",
    after=three_pods,
)
def the_slow_pod_is_spared() -> None:
    if not 0 < (slow := reads_of_the_slow_pod()) <= SPARED:
        raise Missing(f"the slow pod answered {slow}")


@lab.check(
    "the release has the policy that the edge uses",
    points=1,
    hint="Set the policy that helps as a value of the release: an upgrade undoes what you change at the Deployment.",
    after=the_slow_pod_is_spared,
)
def the_next_upgrade_keeps_it() -> None:
    given = released_values("edge")["lbPolicy"]
    (nginx, *_) = told("kubectl", "get", "deployment", "edge", "--output", "json")["spec"]["template"]["spec"][
        "containers"
    ]
    used = next((each.get("value") for each in nginx["env"] if each["name"] == "LB_POLICY"), None)
    if used != given:
        raise Missing(f"the edge uses {used}, and the release has {given}")


@cache
def reads_of_the_slow_pod() -> int:
    counted = through_edge(Load(READS, CLIENTS, ADDRESSES))
    return sum(reads for pod, reads in counted.shares.items() if pod.slow)
