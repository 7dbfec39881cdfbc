"""Lab 6: the release is in a good state, and has two pods of catalog by its own values."""

from typing import Any

from shopctl.labs import Lab, Missing
from shopctl.labs.looking import (
    cluster_answers,
    no_shop_on_the_cluster,
    objects,
    release_is_deployed,
    released_replicas,
    told,
)

lab = Lab()

lab.start("a cluster answers", remedy="see lab 5, which tells how to name your namespace", look=cluster_answers)
lab.start("the namespace has no shop", remedy="make cluster-down", look=no_shop_on_the_cluster)

lab.question("b", hint="Compare `kubectl get persistentvolumeclaims` before and after `helm uninstall till`.")
lab.question("a", hint="Count the answers during the upgrade once more.")
lab.question("b", hint="Look at the image in what `--dry-run=server` printed.")
lab.question("c", hint="See `helm history shop`: what did the rollback add?")


def catalog() -> dict[str, Any]:
    found = [each for each in objects("deployments") if each["metadata"]["name"] == "catalog"]
    if not found:
        raise Missing("this namespace has no Deployment catalog")
    return found[0]


@lab.check("the newest revision of the release is deployed", points=1, hint="`helm history shop` lists the revisions.")
def deployed() -> None:
    release_is_deployed()


@lab.check(
    "catalog has two pods, and both are ready",
    points=1,
    hint="`kubectl get pods` shows which pods wait, and `kubectl describe` for what.",
)
def two_pods() -> None:
    status = catalog()["status"]
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")]
    if counts != [2, 2, 2]:
        raise Missing("pods: {}, of the newest revision: {}, ready: {}".format(*counts))


@lab.check(
    "the release says so too, so that the next upgrade keeps them",
    points=2,
    hint="Compare `helm get values shop` with what you changed. Who knows of your change?",
)
def declared() -> None:
    if (replicas := released_replicas("catalog")) != 2:
        raise Missing(f"for the release it is {replicas}")


@lab.check(
    "nothing else has changed: images, log level, numbers of pods",
    points=1,
    hint="An upgrade with `--set` forgets the values of the upgrade before, unless you ask it to keep them.",
)
def unchanged() -> None:
    for each in objects("deployments"):
        name, wanted = each["metadata"]["name"], each["spec"]
        image = wanted["template"]["spec"]["containers"][0]["image"]
        if image.startswith("quayside/"):
            raise Missing(f"{name} has the image {image}")
        if name != "catalog" and wanted["replicas"] != 1:
            raise Missing(f"{name} has {wanted['replicas']} pods")
    values = told("helm", "get", "values", "shop", "--output", "json") or {}
    if values.get("catalog", {}).get("config", {}).get("LOG_LEVEL") != "debug":
        raise Missing("catalog has lost its log level, debug")
