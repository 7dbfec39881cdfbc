"""The models of `docs/models` take the requests, limits, priorities and the autoscaler that the charts render."""

from rendering import rendered

from shopctl.models.scheduling import Pod
from shopctl.models.settings import AUTOSCALER, SHOP


def test_the_models_know_the_pods_of_the_shop() -> None:
    objects = rendered("shop")
    values = {name: each["value"] for (kind, name), each in objects.items() if kind == "PriorityClass"}
    found = set()
    for (kind, name), each in objects.items():
        if kind in ("Deployment", "StatefulSet"):
            spec = each["spec"]["template"]["spec"]
            (resources,) = (container["resources"] for container in spec["containers"])
            requests = resources["requests"]
            assert requests["cpu"].endswith("m")
            assert "cpu" not in resources["limits"]
            sizes = [int(memory.removesuffix("Mi")) for memory in (requests["memory"], resources["limits"]["memory"])]
            found.add(Pod(name, int(requests["cpu"][:-1]), *sizes, values[spec["priorityClassName"]]))
    assert found == set(SHOP)


def test_the_models_know_the_autoscaler() -> None:
    spec = rendered("shop", "order.autoscaling.enabled=true")["HorizontalPodAutoscaler", "order"]["spec"]
    (metric,) = spec["metrics"]
    assert metric["resource"]["target"]["averageUtilization"] == 100 * AUTOSCALER.target
    assert (spec["minReplicas"], spec["maxReplicas"]) == (AUTOSCALER.least, AUTOSCALER.most)
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == AUTOSCALER.down_after
    assert {pod.cpu for pod in SHOP if pod.name == "order"} == {1000 * AUTOSCALER.request}
