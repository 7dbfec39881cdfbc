"""Measured figures of this shop that the models start from or are compared with, each with its source.

All are from a machine with two cores, on which the nodes of the cluster were containers.
"""

from shopctl.models.availability import DAY, Part

__all__ = ["LEAST_CONNECTIONS", "MEMORY", "POLICIES", "failures"]

MEMORY = {
    **{"postgres": 163.0, "rabbitmq": 111.0, "valkey": 7.0, "catalog": 39.0, "cart": 45.0, "order": 50.0},
    **{"payment": 39.0, "identity": 40.0, "storefront": 36.0, "psp": 40.0, "edge": 11.0},
}
"""MiB of each process after some thousand orders: `shopctl bench --only memory`, 2026-11-27."""

POLICIES = {
    ("round-robin", 0.25): (60.0, 0.0553, 0.2628),
    ("least-connections", 0.25): (60.0, 0.0199, 0.0692),
    ("source-ip-hash", 0.25): (60.0, 0.0647, 0.2992),
}
"""Requests a second, and mean and 95th percentile of the response time in seconds, by policy and speed of the last of
three replicas: `shopctl model balancing --slow 0.25 --arrivals 60 --measure 3600`, 2026-11-27."""

LEAST_CONNECTIONS = {
    "two alike, one slow, on the cluster": (389, 424, 87),
    "two alike, one slow, in Compose": (131, 143, 23),
}
"""Requests that each of three replicas answered: `make cluster-test` and `make test-containers`, 2026-11-26."""


def failures(pod: float, node: float, store: float, repair: float) -> list[Part]:
    """The failures of what an order needs, if a pod, a node and a store's pod fail once in so many days on average.

    A lost node is back after `repair` seconds. How long shoppers feel the failures was measured: `make cluster-test`
    (docs/kubernetes.md) and, for one pod alone, `make chaos` in containers (docs/chaos.md), 2026-11-26. The pods of a
    dead node start on another one after 40 s. The stores' pods wait for their node.
    """
    services = [Part(f"a pod of {name}", pod * DAY, 3.8, 0.0) for name in ("edge", "cart", "catalog", "order")]
    return [
        *services,
        Part("the node of the services", node * DAY, 40.0, 15.1),
        Part("PostgreSQL's pod", store * DAY, 3.4, None),
        Part("Valkey's pod", store * DAY, 3.7, None),
        Part("RabbitMQ's pod", store * DAY, 0.0, None),
        Part("the node of the stores", node * DAY, max(repair, 39.9), None),
    ]
