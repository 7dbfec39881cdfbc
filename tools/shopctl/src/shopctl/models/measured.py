"""Measured figures of this shop that the models start from or are compared with, each with its source.

All are from a machine with two cores, on which the nodes of the cluster were containers.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shopctl.models.availability import DAY, Part
from shopctl.models.capacity import MOST, Demand, fitted, gathered

__all__ = ["BENCH", "MEMORY", "OTHERS", "POLICIES", "Load", "demands", "failures", "read"]

MEMORY = {
    **{"postgres": 163.0, "rabbitmq": 111.0, "valkey": 7.0, "catalog": 39.0, "cart": 45.0, "order": 50.0},
    **{"payment": 39.0, "identity": 40.0, "storefront": 36.0, "psp": 40.0, "edge": 11.0},
}
"""MiB of each process after some thousand orders: `shopctl bench --only memory`, 2026-11-27."""

POLICIES = {
    ("round-robin", 1): (20.0, 45.0, 0.1356, 0.3653),
    ("least-connections", 1): (20.0, 45.0, 0.1019, 0.2743),
    ("source-ip-hash", 1): (20.0, 45.0, 0.2057, 0.6306),
    ("round-robin", 0.25): (100.0, 60.0, 0.0553, 0.2628),
    ("least-connections", 0.25): (100.0, 60.0, 0.0199, 0.0692),
    ("source-ip-hash", 0.25): (100.0, 60.0, 0.0647, 0.2992),
}
"""By policy and speed of the last of three replicas: requests a second that one can serve and that arrive, and mean and
95th percentile of the response time in seconds. `shopctl model balancing --measure 3600`, and with
`--service 100 --slow 0.25 --arrivals 60`; 2026-11-27."""


@dataclass(frozen=True)
class Load:
    """What `make bench` measures at one load: CPU milliseconds of an order by process, orders confirmed a second,
    and milliseconds from POST to the answer (p50) and to CONFIRMED (p50, p95).

    Orders come at a `rate` a second, or from `clients` that wait for each answer.
    """

    name: str
    cpu: Mapping[str, float]
    rate: float
    answered: float
    confirmed: float
    confirmed_p95: float

    @property
    def clients(self) -> int | None:
        return int(self.name.split()[0]) if self.name.endswith("at once") else None

    @property
    def visitors(self) -> dict[str, Any]:
        """How the orders come, as `simulation.simulate` takes it, and how many are simulated."""
        if self.clients:
            return {"clients": self.clients, "orders": 2000}
        return {"rate": float(self.name.split()[0]), "orders": 600}

    @property
    def gathered(self) -> float:
        """Orders in a batch."""
        return float(min(self.clients, MOST)) if self.clients else gathered(float(self.name.split()[0]))


BENCH = (
    Load(
        "64 at once",
        {
            "order": 0.732,
            "postgres": 0.462,
            "payment": 0.385,
            "rabbitmq": 0.19,
            "catalog": 0.152,
            "cart": 0.075,
            "edge": 0.073,
            "valkey": 0.02,
        },
        613.8,
        97.1,
        477.3,
        706.1,
    ),
    Load(
        "16 at once",
        {
            "order": 1.11,
            "postgres": 0.94,
            "payment": 0.57,
            "rabbitmq": 0.43,
            "catalog": 0.35,
            "cart": 0.17,
            "edge": 0.08,
            "valkey": 0.04,
        },
        303.1,
        48.0,
        180.4,
        258.8,
    ),
    Load(
        "200 orders/s",
        {
            "order": 2.045,
            "postgres": 1.28,
            "payment": 0.745,
            "rabbitmq": 0.81,
            "catalog": 0.755,
            "cart": 0.42,
            "edge": 0.22,
            "valkey": 0.07,
        },
        196.9,
        31.3,
        153.7,
        231.3,
    ),
    Load(
        "50 orders/s",
        {
            "order": 4.32,
            "postgres": 3.38,
            "payment": 2.0,
            "rabbitmq": 2.58,
            "catalog": 2.1,
            "cart": 1.04,
            "edge": 0.3,
            "valkey": 0.18,
        },
        49.4,
        31.1,
        133.6,
        180.7,
    ),
    Load(
        "10 orders/s",
        {
            "order": 9.3,
            "postgres": 6.1,
            "payment": 4.1,
            "rabbitmq": 7.0,
            "catalog": 4.8,
            "cart": 2.5,
            "edge": 0.4,
            "valkey": 0.5,
        },
        9.9,
        34.8,
        162.2,
        182.3,
    ),
)
"""Medians of three rounds of `shopctl bench --only checkout --json`, 2026-11-27."""

OTHERS = 0.7
"""CPU milliseconds of an order that the load generator and the sandbox provider take on the same cores: 0.5 of the
provider and 0.1 to 0.3 of the load generator, measured at 64 and 16 at once and at 200 orders/s, 2026-11-27."""


def demands(loads: Sequence[Load]) -> dict[str, Demand]:
    """The demand of each process that fits what was measured at these loads."""
    names = dict.fromkeys(name for load in loads for name in load.cpu)
    return {
        name: fitted([(load.gathered, load.cpu[name] / 1000) for load in loads if name in load.cpu]) for name in names
    }


def read(file: Path) -> tuple[Load, ...]:
    """The loads in a file that `shopctl bench --json` has written.

    Raises OSError, or ValueError if it holds no measurement of orders.
    """
    try:
        figures: list[Any] = json.loads(file.read_text())
        found: dict[str, dict[str, float]] = {}
        for each in figures:
            found.setdefault(each["section"], {})[each["name"]] = float(each["value"])
        loads = tuple(_load(load.name, found[load.name]) for load in BENCH if load.name in found)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        loads = ()
    if len(loads) < 2:
        raise ValueError(f"{file} holds no orders at two loads, as `shopctl bench --only checkout --json` prints them")
    return loads


def _load(name: str, figures: Mapping[str, float]) -> Load:
    return Load(
        name,
        {process: figures[f"  {process}"] for process in BENCH[0].cpu if figures[f"  {process}"] > 0},
        figures["confirmed per second"],
        figures["POST to answer, p50"],
        figures["POST to CONFIRMED, p50"],
        figures["POST to CONFIRMED, p95"],
    )


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
