"""Packing, eviction and the autoscaler: properties, values that Kubernetes documents, and what was observed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopctl.models import measured, settings
from shopctl.models.scheduling import Autoscaler, Node, Pod, evicted, lower_bound, most_replicas, packed, quality

PODS = st.lists(st.builds(Pod, st.just("a"), st.integers(1, 900), st.integers(1, 900), st.just(1000)), max_size=40)


def pod(cpu: int, memory: int = 16, name: str = "a", priority: int = 0) -> Pod:
    return Pod(name, cpu, memory, 1024, priority)


def workers() -> list[Node]:
    """The two workers of the cluster on which was observed, less what its DNS and metrics server request."""
    return [Node("worker1", 1980, 24_000), Node("worker2", 1960, 24_000)]


@given(PODS, st.integers(1, 5))
def test_packing_never_exceeds_a_node_and_loses_no_pod(pods: list[Pod], count: int) -> None:
    nodes = [Node(str(number), 1000, 1000) for number in range(count)]
    left = packed(pods, nodes)
    assert all(node.free_cpu >= 0 and node.free_memory >= 0 for node in nodes)
    assert len(left) + sum(len(node.pods) for node in nodes) == len(pods)
    assert not any(node.has_room(each) for each in left for node in nodes)


@given(PODS)
def test_packing_needs_no_fewer_nodes_than_the_lower_bound(pods: list[Pod]) -> None:
    nodes = [Node(str(number), 1000, 1000) for number in range(max(1, len(pods)))]
    assert packed(pods, nodes) == []
    assert sum(bool(node.pods) for node in nodes) >= lower_bound(pods, 1000, 1000)


def test_a_pod_larger_than_a_node_has_no_lower_bound() -> None:
    with pytest.raises(ValueError, match="larger than a node"):
        lower_bound([pod(1001)], 1000, 1000)


def test_as_many_pods_fit_as_were_observed() -> None:
    assert most_replicas(pod(100, 160), workers()) == 38


def test_largest_first_finds_room_for_a_pod_that_stayed_pending_when_it_came_last() -> None:
    """Observed: after four pods of 600 m, two on each node, one of 900 m stayed Pending. Before them, all fit."""
    small, large = [pod(600)] * 4, pod(900)
    nodes = workers()
    for each, node in zip(small, [*nodes, *nodes], strict=True):
        node.pods.append(each)
    assert packed([large], nodes) == [large]
    assert packed([*small, large], workers()) == []


@pytest.mark.parametrize(
    ("requests", "limits", "name"),
    [
        ({}, {}, "BestEffort"),
        ({"cpu": 50, "memory": 80}, {"memory": 192}, "Burstable"),
        ({"cpu": 50, "memory": 80}, {"cpu": 50, "memory": 80}, "Guaranteed"),
        ({}, {"cpu": 50, "memory": 80}, "Guaranteed"),
        ({"memory": 80}, {"memory": 80}, "Burstable"),
    ],
)
def test_the_quality_of_service_follows_from_requests_and_limits(
    requests: dict[str, int], limits: dict[str, int], name: str
) -> None:
    assert quality(requests, limits) == name


def test_first_goes_who_uses_more_than_requested_then_low_priority_then_most_use() -> None:
    over, low = pod(1, 100, "over", priority=2000), pod(1, 100, "low", priority=1000)
    much, little = pod(1, 100, "much", priority=1500), pod(1, 100, "little", priority=1500)
    used = {little: 10.0, much: 90.0, low: 1.0, over: 101.0}
    assert [each.name for each in evicted(used)] == ["over", "low", "much", "little"]


def test_pods_are_evicted_in_the_order_that_was_observed_on_the_cluster() -> None:
    used = {
        pod(1, 200, "a"): 113.0,
        pod(1, 100, "b"): 123.0,
        pod(1, 50, "c"): 143.0,
        pod(0, 0, "d"): 63.0,
        pod(1, 20, "e", priority=2000): 223.0,
        pod(1, 300, "f", priority=2000): 103.0,
    }
    assert [each.name for each in evicted(used)] == ["c", "d", "b", "e", "a", "f"]


@pytest.mark.parametrize(
    ("replicas", "use", "wanted"),
    [
        (1, 1.6, 2),
        (2, 1.7, 4),
        (4, 1.26, 6),
        (3, 1.09, 3),
        (3, 0.91, 3),
        (3, 1.2, 4),
        (3, 0.5, 2),
        (3, 0.0, 1),
        (3, 9, 6),
    ],
)
def test_the_autoscaler_rounds_up_within_its_bounds_and_beyond_its_tolerance(
    replicas: int, use: float, wanted: int
) -> None:
    """The first three were observed on the cluster."""
    scaler = Autoscaler(target=1.0, request=0.02, least=1, most=6)
    assert scaler.wanted(replicas, replicas * use * 0.02) == wanted


def test_the_autoscaler_takes_the_observed_steps() -> None:
    """Observed: each pod uses 160 % of its target, whatever their number. It decided after 20, 40 and 70 s."""
    scaler = Autoscaler(target=1.0, request=0.02, least=1, most=6, period=10)
    readings = list(scaler.follow(lambda at, replicas: 0.032 * replicas if at >= 0 else 0, 300))
    assert list(dict.fromkeys(each.replicas for each in readings)) == [1, 2, 4, 6]
    assert [each.at for each in readings if each.wanted != each.replicas] == pytest.approx([20, 40, 70], rel=0.2)


def test_the_autoscaler_waits_before_it_removes_pods() -> None:
    readings = list(settings.AUTOSCALER.follow(lambda at, _: 1.5 if 0 <= at < 300 else 0.0, 900))
    removed = next(each.at for each in readings if each.wanted < each.replicas)
    assert removed >= 300 + settings.AUTOSCALER.down_after


def test_every_pod_has_a_measured_size() -> None:
    assert {each.name for each in settings.SHOP} == set(measured.MEMORY)
