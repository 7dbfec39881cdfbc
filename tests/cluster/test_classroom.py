"""A class on one cluster: each student has a namespace, a share of the cluster, and no rights beyond it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from release import run

pytestmark = pytest.mark.timeout(900)  # the first test of a session also builds and pushes all images

ANN, BOB = "test-ann", "test-bob"
Kubectl = Callable[..., str]


@pytest.fixture(scope="module")
def files(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The kubeconfigs of two students."""
    folder = tmp_path_factory.mktemp("run")
    written = run("make", "classroom", f"STUDENTS={ANN} {BOB}", SHOP_RUN=str(folder)).split()
    try:
        yield {Path(file).stem: Path(file) for file in written}
    finally:
        run("make", "classroom-down", f"STUDENTS={ANN} {BOB}", SHOP_RUN=str(folder), timeout=400)
        assert [*(folder / "classroom").iterdir()] == []


@pytest.fixture
def ann(files: dict[str, Path]) -> Kubectl:
    return lambda *words, **options: run("kubectl", *words, KUBECONFIG=str(files[ANN]), **options)


def test_a_student_sees_and_changes_only_the_own_namespace(ann: Kubectl) -> None:
    assert ann("config", "view", "--minify", "--output", "jsonpath={..namespace}") == f"shop-{ANN}"
    ann("get", "namespace", f"shop-{ANN}")
    ann("get", "secrets")
    for words in (
        ["get", "namespaces"],
        ["get", "nodes"],
        ["get", "secrets", "--namespace", f"shop-{BOB}"],
        ["get", "pods", "--namespace", "kube-system"],
        ["delete", "resourcequota", "share"],
        ["label", "namespace", f"shop-{ANN}", "pod-security.kubernetes.io/enforce=privileged", "--overwrite"],
    ):
        assert "Forbidden" in ann(*words, check=False), words


def test_a_student_cannot_take_more_than_a_share(ann: Kubectl) -> None:
    container = {
        "name": "big",
        "image": "big",
        "resources": {"requests": {"cpu": "3"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {"metadata": {"name": "big"}, "spec": {"containers": [container], "securityContext": security}}
    document = json.dumps({"apiVersion": "v1", "kind": "Pod"} | pod)
    assert "exceeded quota: share, requested: requests.cpu=3" in ann("apply", "-f", "-", stdin=document, check=False)


def test_a_student_installs_a_shop_that_takes_orders_and_updates_it_within_the_share(
    files: dict[str, Path], ann: Kubectl, registry: str
) -> None:
    mine = {"KUBECONFIG": str(files[ANN]), "NAMESPACE": f"shop-{ANN}", "REGISTRY": registry, "PUSHED": "1"}
    run("make", "cluster-up", **mine, TAG="test-1", timeout=600)
    run("helm", "test", "shop", **mine)
    changed = ("--set=catalog.replicas=3,global.config.LOG_LEVEL=warning", "--wait")  # every pod is replaced
    run("helm", "upgrade", "shop", "charts/shop", "--reset-then-reuse-values", *changed, **mine)
    assert "exceeded quota" not in ann("get", "events")
    (slow, *_) = ann("get", "pods", "--selector=app.kubernetes.io/name=catalog", "--output=name").split()
    limit = {"name": "catalog", "resources": {"limits": {"cpu": "75m"}}}
    ann("patch", slow, "--subresource=resize", "--patch", json.dumps({"spec": {"containers": [limit]}}))
