"""What fits on a node, who is evicted first, and how many replicas the autoscaler asks for.

CPU is in millicores (1000 m = one core) and memory in MiB, as in the charts, unless a name says otherwise.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

__all__ = ["Autoscaler", "Node", "Pod", "Reading", "evicted", "lower_bound", "most_replicas", "packed", "quality"]


@dataclass(frozen=True)
class Pod:
    """The requests of a pod, its memory limit, and the value of its priority class. The charts set no CPU limit."""

    name: str
    cpu: int
    memory: int
    limit: int
    priority: int = 0


@dataclass
class Node:
    """What a node can allocate, less what is already on it; and the pods that were put on it."""

    name: str
    cpu: int
    memory: int
    pods: list[Pod] = field(default_factory=list)

    def has_room(self, pod: Pod) -> bool:
        return self.free_cpu >= pod.cpu and self.free_memory >= pod.memory

    @property
    def free_cpu(self) -> int:
        return self.cpu - sum(pod.cpu for pod in self.pods)

    @property
    def free_memory(self) -> int:
        return self.memory - sum(pod.memory for pod in self.pods)


def packed(pods: Iterable[Pod], nodes: Sequence[Node]) -> list[Pod]:
    """Put each pod on the first node that has room, the largest pods first; return those that fit nowhere.

    The size of a pod is the larger of its shares of the nodes' CPU and memory. Source: D. S. Johnson, 1973,
    "Near-optimal bin packing algorithms" (first-fit decreasing, at most 11/9 of the fewest nodes and a
    constant more, for one resource).
    """
    cpu, memory = sum(node.cpu for node in nodes), sum(node.memory for node in nodes)
    left = []
    for pod in sorted(pods, key=lambda pod: max(pod.cpu / cpu, pod.memory / memory), reverse=True):
        node = next((node for node in nodes if node.has_room(pod)), None)
        if node is None:
            left.append(pod)
        else:
            node.pods.append(pod)
    return left


def lower_bound(pods: Sequence[Pod], cpu: int, memory: int) -> int:
    """The number of nodes below which no packing is possible: the sum of the requests over a node, rounded up.

    Raises ValueError if a node has no room for the largest pod.
    """
    if any(pod.cpu > cpu or pod.memory > memory for pod in pods):
        raise ValueError("a pod is larger than a node")
    return max(math.ceil(sum(pod.cpu for pod in pods) / cpu), math.ceil(sum(pod.memory for pod in pods) / memory))


def most_replicas(pod: Pod, nodes: Iterable[Node]) -> int:
    """How many pods of one kind fit: on each node, the smaller of what its CPU and its memory permit."""
    return sum(min(node.free_cpu // pod.cpu, node.free_memory // pod.memory) for node in nodes)


def quality(requests: dict[str, int], limits: dict[str, int]) -> str:
    """The QoS class of a pod with one container, by its requests and limits of `cpu` and `memory`.

    Source: Kubernetes, "Pod Quality of Service Classes".
    """
    if not requests and not limits:
        return "BestEffort"
    equal = all(limits.get(what) and requests.get(what, limits[what]) == limits[what] for what in ("cpu", "memory"))
    return "Guaranteed" if equal else "Burstable"


def evicted(used: dict[Pod, float]) -> list[Pod]:
    """The order in which a node short of memory evicts pods, given the MiB that each uses.

    First those that use more than they request; among them, those of low priority; then those that use most beyond
    their request. Source: Kubernetes, "Node-pressure Eviction".
    """
    return sorted(used, key=lambda pod: (used[pod] <= pod.memory, pod.priority, pod.memory - used[pod]))


@dataclass(frozen=True)
class Reading:
    """What the autoscaler sees and decides at a time in seconds: replicas, cores used by all, replicas wanted."""

    at: float
    replicas: int
    cores: float
    wanted: int


@dataclass(frozen=True)
class Autoscaler:
    """A HorizontalPodAutoscaler of CPU use. Source: Kubernetes, "Horizontal Pod Autoscaling".

    `target` is a share of the request (6.0 is 600 %), and `request` is in cores. It decides each `period` seconds by a
    metric that is `age` seconds old, does nothing within the `tolerance`, at most doubles or adds four pods at a time,
    and removes a pod only if it was not needed for `down_after` seconds. A pod uses `core` cores at most: a Python
    process cannot use more than one.
    """

    target: float
    request: float
    least: int = 1
    most: int = 10
    down_after: float = 300
    tolerance: float = 0.1
    period: float = 15
    age: float = 15
    starting: float = 5
    core: float = 1.0

    def wanted(self, replicas: int, cores: float) -> int:
        """⌈replicas × metric ÷ target⌉ between `least` and `most`, for replicas that use `cores` cores together."""
        ratio = cores / replicas / self.request / self.target
        if abs(ratio - 1) <= self.tolerance:
            return replicas
        exact = round(replicas * ratio, 9)  # so that a whole number stays one
        return max(self.least, min(self.most, math.ceil(exact)))

    def follow(
        self, load: Callable[[float, int], float], until: float, replicas: int | None = None
    ) -> Iterator[Reading]:
        """Yield a reading each period until `until` seconds. `load(t, replicas)` is in cores, of all together."""
        now, count = 0.0, self.least if replicas is None else replicas
        changes: list[tuple[float, int]] = [(-math.inf, count)]
        past: list[tuple[float, int]] = []
        while now <= until:
            seen = now - self.age
            served = next(number for at, number in reversed(changes) if at <= seen)
            used = min(load(seen, served), served * self.core)
            # The pods that have started since then are taken for average ones only when they have a metric.
            asked = self.wanted(served, used) if served == count else count
            past = [(at, number) for at, number in past if now - at <= self.down_after] + [(now, asked)]
            wanted = max(number for _, number in past) if asked < count else asked
            wanted = min(wanted, max(2 * count, count + 4))
            yield Reading(now, count, used, wanted)
            if wanted != count:
                count = wanted
                changes.append((now + self.starting, count))
            now += self.period
