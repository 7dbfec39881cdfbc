"""What checks look at: the output of commands, the shop in containers, a namespace of a cluster."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Collection
from typing import Any
from urllib.error import HTTPError
from uuid import uuid4

from shopctl.edge import http
from shopctl.labs import Missing

ENDED = re.compile("command terminated with exit code|(Run|See) 'docker|Error: failed to start containers")
"""What kubectl and docker say after the reason of a failure."""
WITHIN = 60.0
"""Seconds in which a command must answer."""
FOUND_WITHIN = 5.0
"""Seconds in which the edge notices where a service is that has started again."""
PARTS = (
    *("edge", "catalog", "cart", "order", "payment", "identity", "storefront", "psp"),
    *("postgres", "valkey", "rabbitmq"),
)
"""The services of compose.yaml that run as long as the shop does."""


def said(*command: str, within: float = WITHIN, stdin: str = "") -> str:
    """Return what a command prints. Raises Missing with its last line of errors if it fails."""
    if not shutil.which(command[0]):
        raise Missing(f"there is no command {command[0]}")
    try:
        # Over WebSockets, the end of a command's output was sometimes lost.
        env = os.environ | {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"}
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=within, check=False, env=env
        )
    except subprocess.TimeoutExpired:
        raise Missing(f"`{' '.join(command)}` has not answered after {within:.0f} s") from None
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip() and not ENDED.match(line)]
        raise Missing(lines[-1].strip() if lines else f"`{' '.join(command)}` failed")
    return done.stdout.strip()


def told(*command: str, within: float = WITHIN) -> Any:
    """Return the JSON that a command prints."""
    return json.loads(said(*command, within=within) or "null")


def objects(*words: str) -> list[dict[str, Any]]:
    """Return what `kubectl get` finds in the current namespace: `objects("pods", "--selector", "app=x")`."""
    found = told("kubectl", "get", *words, "--output", "json")
    items: list[dict[str, Any]] = found.get("items", [found])
    return items


UNITS = {"m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def amount(quantity: str) -> float:
    """Return a quantity of Kubernetes as a number: "100m" is 0.1 and "1Ki" is 1024."""
    number = quantity.rstrip("".join(UNITS))
    return float(number) * UNITS.get(quantity[len(number) :], 1)


def current_namespace() -> str:
    return said("kubectl", "config", "view", "--minify", "--output", "jsonpath={..namespace}") or "default"


def cluster_answers() -> None:
    said("kubectl", "get", "pods", "--request-timeout=20s")


def engine_answers() -> None:
    said("docker", "version", "--format", "{{.Server.Version}}")


def engine_builds() -> None:
    """Raises Missing unless a Docker Engine 25 or newer answers, and has buildx."""
    version = said("docker", "version", "--format", "{{.Server.Version}}")
    if int(version.split(".")[0]) < 25:
        raise Missing(f"its version is {version}")
    try:
        said("docker", "buildx", "version")
    except Missing:
        raise Missing("it has no buildx") from None


def shop_is_ready_on_the_cluster() -> None:
    """Raises Missing unless every Deployment of the shop in the current namespace has all of its pods."""
    deployments = {each["metadata"]["name"]: each for each in objects("deployments")}
    if absent := sorted({"edge", "catalog", "cart", "order", "payment", "identity", "storefront"} - set(deployments)):
        raise Missing(f"the current namespace, {current_namespace()}, has no Deployment {', '.join(absent)}")
    for name, each in deployments.items():
        ready, wanted = each["status"].get("readyReplicas", 0), each["spec"]["replicas"]
        if ready < wanted:
            raise Missing(f"{ready} of {wanted} pods of {name} are ready")


def shop_runs_in_containers() -> None:
    """Raises Missing unless the shop's containers run, in the Compose project of `make up` without a port offset."""
    running = said("docker", "compose", "ls", "--filter", "name=quayside", "--quiet").split()
    if "quayside" not in running:
        raise Missing("the Compose project quayside does not run")


def containers() -> dict[str, dict[str, Any]]:
    """Return what `docker inspect` says about the first running container of each service, by the service's name."""
    shop_runs_in_containers()
    labels = ("project=quayside", "oneoff=False", "container-number=1")
    filters = [word for label in labels for word in ("--filter", f"label=com.docker.compose.{label}")]
    found = told("docker", "inspect", *said("docker", "ps", "--quiet", *filters).split())
    return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in found}


def rows(database: str, query: str) -> list[str]:
    """Return what a query finds in a database of the shop in containers: a line for each row, columns divided by |."""
    postgres = containers().get("postgres")
    if postgres is None:
        raise Missing("postgres does not run")
    psql = ("psql", "--username", "postgres", "--no-align", "--tuples-only", "--dbname", database, "--command", query)
    return said("docker", "exec", postgres["Id"], *psql).splitlines()


def shop_is_healthy_in_containers() -> None:
    """Raises Missing unless each service, the edge and each store have a container, and all containers are healthy."""
    found = containers()
    if absent := sorted(set(PARTS) - set(found)):
        raise Missing(f"{', '.join(absent)} does not run")
    for name, each in sorted(found.items()):
        health = each["State"].get("Health", {}).get("Status", "healthy")
        if health != "healthy":
            raise Missing(f"{name} is {health}")


def page_opens(address: str) -> None:
    """Raises Missing unless the storefront gives the page at this address, for which the edge has no copy."""
    end = time.monotonic() + FOUND_WITHIN
    while True:
        try:
            http.open(f"{address}?{uuid4()}", timeout=10).close()
        except HTTPError as error:
            found = f"{address} is answered with {error.code}"
        except OSError as error:
            found = f"{address} is not answered: {error}"
        else:
            return
        if time.monotonic() > end:
            raise Missing(found)
        time.sleep(0.5)


def no_shop_on_the_cluster() -> None:
    if any(release["name"] == "shop" for release in told("helm", "list", "--all", "--output", "json")):
        raise Missing("the shop is installed")


def release_is_deployed() -> None:
    """Raises Missing unless the newest revision of the release `shop` is the one that is deployed."""
    state = told("helm", "status", "shop", "--output", "json")
    if state["info"]["status"] != "deployed":
        raise Missing(f"revision {state['version']} is {state['info']['status']}")


def released_values(part: str) -> dict[str, Any]:
    """Return the values of a part of the release `shop`, such as "edge", defaults included."""
    values: dict[str, Any] = told("helm", "get", "values", "shop", "--all", "--output", "json")[part]
    return values


def released_replicas(name: str) -> int:
    """Return the number of pods that the release `shop` gives a Deployment: the least number, if it has an autoscaler.

    Raises Missing if the release has no such Deployment.
    """
    manifests = said("helm", "get", "manifest", "shop").split("\n---\n")
    of_name = [each for each in manifests if re.search(rf"^  name: {name}$", each, re.MULTILINE)]
    for kind, field in (("HorizontalPodAutoscaler", "minReplicas"), ("Deployment", "replicas")):
        for each in of_name:
            if re.search(rf"^kind: {kind}$", each, re.MULTILINE):
                found = re.search(rf"^  {field}: (\d+)$", each, re.MULTILINE)
                return int(found[1]) if found else 1
    raise Missing(f"the release has no Deployment {name}")


def ready_pods(selector: str) -> list[dict[str, Any]]:
    """Return the pods with these labels that are ready and will stay."""
    found = objects("pods", "--selector", selector)
    return [each for each in found if "deletionTimestamp" not in each["metadata"] and _is_ready(each)]


def api_pods(service: str) -> list[dict[str, Any]]:
    """Return the pods of a service that answer its requests, are ready and will stay."""
    return ready_pods(f"app.kubernetes.io/name={service},app.kubernetes.io/component=api")


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def selects(selector: dict[str, Any] | None, labels: dict[str, str]) -> bool:
    """Whether a label selector finds an object with these labels: an empty selector finds all, and None finds none."""
    if selector is None:
        return False
    asked = selector.get("matchExpressions", ())
    return selector.get("matchLabels", {}).items() <= labels.items() and all(_holds(each, labels) for each in asked)


def _holds(asked: dict[str, Any], labels: dict[str, str]) -> bool:
    key, values = asked["key"], asked.get("values", ())
    match asked["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels


def one_may_be_evicted(app: str, pods: Collection[dict[str, Any]]) -> None:
    """Raises Missing unless one budget, and no other, selects each of these pods, and permits one eviction now."""
    if not pods:
        raise Missing(f"no pod of {app} runs")
    budgets = objects("poddisruptionbudgets")
    for pod in pods:
        found = [each for each in budgets if selects(each["spec"].get("selector"), pod["metadata"].get("labels", {}))]
        if not found:
            raise Missing(f"there is no budget for {app}")
        if len(found) > 1:
            raise Missing(f"{app} has {len(found)} budgets, and with more than one nothing is evicted")
        if (allowed := found[0].get("status", {}).get("disruptionsAllowed", 0)) != 1:
            raise Missing(f"the budget of {app} permits {allowed} evictions")


def kubernetes_is_at_least(minor: int) -> None:
    """Raises Missing if the cluster's version is below 1.`minor`, or kubectl's more than one below."""
    found = told("kubectl", "version", "--output", "json")
    for name, version, least in (("the cluster", "serverVersion", minor), ("kubectl", "clientVersion", minor - 1)):
        number = found.get(version, {}).get("minor", "0").rstrip("+")
        if int(number) < least:
            raise Missing(f"{name} has version 1.{number}")
