"""Tests of the shop with `OBSERVE=1` in Compose: what Prometheus reads, an order's one trace in Jaeger, hardening."""

import hashlib
import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from shopper import eventually

from shopctl.compose import ComposeShop
from shopctl.place import TOOLS
from shopctl.scraping import JOBS

pytestmark = pytest.mark.timeout(180)

PROFILES = {"none": "", "observability": "observability", "with Grafana": "observability,grafana"}
CHECKS = {
    "prom/prometheus": ("promtool", "check", "config", "/deploy/prometheus/prometheus.yml"),
    "prom/alertmanager": ("amtool", "check-config", "/deploy/alertmanager/alertmanager.yml"),
    "jaegertracing/jaeger": (None, "validate", "--config", "/deploy/jaeger/jaeger.yaml"),
}
"""The command that checks a configuration, by image; None is the image's own program."""


@pytest.fixture(scope="module")
def observed(shop: ComposeShop) -> Iterator[ComposeShop]:
    """The shop with its tools. Afterwards they are removed, and the next `up` starts the services without them."""
    shop.observe(True)
    shop.up()
    yield shop
    shop.observe(False)
    assert not [name for name in TOOLS if shop.containers(name)]


@pytest.fixture(scope="module")
def config(shop: ComposeShop) -> dict[str, Any]:
    """The resolved configuration of compose.yaml with every profile."""
    return resolve(shop, "observability,grafana")


@pytest.fixture(scope="module")
def prometheus(observed: ComposeShop) -> Iterator[httpx2.Client]:
    with client(observed.place.prometheus_url) as http:
        yield http


def test_prometheus_reads_every_job_and_has_valid_rules(observed, prometheus) -> None:
    wanted = {*JOBS, *observed.place.services.upstreams}
    assert eventually(lambda: states(prometheus) == dict.fromkeys(wanted, "up")), states(prometheus)
    rules = [rule for group in ask(prometheus, "rules")["groups"] for rule in group["rules"]]
    assert rules
    assert not [rule["name"] for rule in rules if rule["health"] == "err"]
    assert eventually(lambda: ask(prometheus, "alertmanagers")["activeAlertmanagers"])


def test_exporters_read_their_stores_with_their_own_users(observed, prometheus) -> None:
    wanted = {
        **dict.fromkeys(("pg_up", "redis_up", "nginx_up"), 1),
        "pg_settings_max_connections": 100,
        'sum(rabbitmq_detailed_queue_consumers{queue="order"})': 1,
    }
    for query, number in wanted.items():
        assert eventually(lambda query=query, number=number: value(prometheus, query) == number), query


def test_an_order_is_one_trace_from_the_edge_to_confirmed(observed, shopper, admin) -> None:
    id = shopper.buy(admin.product(stock=1))
    assert shopper.waits_for(id) == "CONFIRMED"
    assert shopper.has_empty_cart()
    with client(observed.place.jaeger_url) as jaeger:
        # Each service sends its spans when it has time to, and those that come late join the trace.
        assert eventually(lambda: any(map(is_whole, traces(jaeger, id)))), traces(jaeger, id)
        (trace,) = traces(jaeger, id)
    (root,) = (span for span in trace["spans"] if not parents(span))
    assert trace["processes"][root["processID"]]["serviceName"] == "edge"


WRONG = {"error": 2, "rejected": 1, "slow": 1}


@pytest.mark.parametrize(("orders", "kept"), [("100", WRONG | {"POST /api/orders": 2}), ("0", WRONG)])
def test_jaeger_keeps_what_went_wrong_and_the_wanted_share_of_orders(config, root, docker, orders, kept) -> None:
    shares = ("--env", "JAEGER_KEEP_PERCENT=0", "--env", f"JAEGER_KEEP_ORDERS_PERCENT={orders}")
    options = ("--detach", *shares, "--volume", f"{root}/deploy/jaeger:/etc/jaeger:ro")
    options += ("--publish", "127.0.0.1::4318", "--publish", "127.0.0.1::16686")
    command = ("--config", "/etc/jaeger/jaeger.yaml", "--set", "processors.tail_sampling.decision_wait=1s")
    container = docker("run", *options, config["services"]["jaeger"]["image"], *command)
    try:
        collecting, showing = (docker("port", container, port) for port in ("4318", "16686"))
        with client(f"http://{collecting}") as collector, client(f"http://{showing}") as jaeger:
            assert eventually(lambda: send(collector, "plain"))
            send(collector, "rejected", status="REJECTED")
            send(collector, "slow", seconds=3)
            send(collector, "POST /api/orders", order="1")
            send(collector, "GET /api/orders/{order_id}", order="1")
            send(collector, "error", error=True)
            # It decides in the order in which traces began, so with this one it has decided about all.
            assert eventually(lambda: "error" in lengths(jaeger)), lengths(jaeger)
            send(collector, "error")
            send(collector, "POST /api/orders")
            assert eventually(lambda: lengths(jaeger) == kept), lengths(jaeger)
    finally:
        docker("rm", "--force", "--volumes", container)


@pytest.mark.parametrize("profiles", PROFILES.values(), ids=PROFILES)
def test_compose_yaml_is_valid_with_each_profile(shop, profiles: str) -> None:
    found = {name for name in TOOLS if name in resolve(shop, profiles)["services"]}
    wanted = {"": set(), "observability": {*TOOLS} - {"grafana"}}.get(profiles, {*TOOLS})
    assert found == wanted


def test_tools_are_hardened_and_seen_by_this_machine_alone(config: dict[str, Any]) -> None:
    for name in TOOLS:
        service = config["services"][name]
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert int(service["mem_limit"]) <= 256 * 2**20, name
        assert {port["host_ip"] for port in service.get("ports", ())} <= {"127.0.0.1"}, name
        assert all(secret["source"].startswith(f"{name}-") for secret in service.get("secrets", ())), name


@pytest.mark.parametrize("image", CHECKS)
def test_the_images_accept_their_configuration(config: dict[str, Any], root, docker, image: str) -> None:
    (reference,) = {each["image"] for each in config["services"].values() if each["image"].rpartition(":")[0] == image}
    program, *arguments = CHECKS[image]
    entrypoint = ("--entrypoint", program) if program else ()
    mount = ("--volume", f"{root}/deploy:/deploy:ro")
    docker("run", "--rm", "--network", "none", *mount, *entrypoint, reference, *arguments)


def resolve(shop: ComposeShop, profiles: str) -> dict[str, Any]:
    command = [*shop.command, "config", "--format", "json"]
    environment = {**shop.environment, "COMPOSE_PROFILES": profiles}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def client(url: str | None) -> httpx2.Client:
    assert url
    return httpx2.Client(base_url=url, timeout=10, trust_env=False)


def ask(prometheus: httpx2.Client, what: str, **parameters: str) -> Any:
    return prometheus.get(f"/api/v1/{what}", params=parameters).raise_for_status().json()["data"]


def states(prometheus: httpx2.Client) -> dict[str, str]:
    """Returns the health of each job; of its targets, one that is not up counts."""
    targets = sorted(ask(prometheus, "targets")["activeTargets"], key=lambda each: each["health"] != "up")
    return {target["labels"]["job"]: target["health"] for target in targets}


def value(prometheus: httpx2.Client, query: str) -> float | None:
    result = ask(prometheus, "query", query=query)["result"]
    return float(result[0]["value"][1]) if result else None


def traces(jaeger: httpx2.Client, order_id: str) -> list[dict[str, Any]]:
    """Returns the traces in which the order was placed; later requests for it are traces of their own."""
    tags = json.dumps({"quayside.order.id": order_id})
    found = jaeger.get("/api/traces", params={"service": "order", "operation": "POST /api/orders", "tags": tags})
    data: list[dict[str, Any]] = found.raise_for_status().json()["data"] or []
    return data


def is_whole(trace: dict[str, Any]) -> bool:
    """Whether an order's trace has a span of each service that it passes, and the parent of each span."""
    names = {key: process["serviceName"] for key, process in trace["processes"].items()}
    spans = {(names[span["processID"]], span["operationName"]) for span in trace["spans"]}
    steps = {("order", "POST /api/orders"), ("payment", "charge"), ("order", "order"), ("cart", "process cart")}
    known = {span["spanID"] for span in trace["spans"]}
    return (
        {"edge", "order", "cart", "catalog", "payment"} <= {service for service, _ in spans}
        and steps <= spans
        and {parent for span in trace["spans"] for parent in parents(span)} <= known
    )


def send(
    collector: httpx2.Client,
    name: str,
    *,
    error: bool = False,
    order: str = "",
    status: str = "",
    seconds: float = 0.01,
) -> bool:
    """Sends a span, in a trace whose ID follows from its name. Returns whether the collector answers."""
    now = time.time_ns()
    attributes = {"quayside.order.id": order, "quayside.order.status": status}
    span = {
        "traceId": hashlib.md5(name.encode(), usedforsecurity=False).hexdigest(),
        "spanId": secrets.token_hex(8),
        "name": name,
        "startTimeUnixNano": str(now),
        "endTimeUnixNano": str(now + int(seconds * 1e9)),
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items() if value],
        "status": {"code": 2} if error else {},
    }
    service = {"attributes": [{"key": "service.name", "value": {"stringValue": "order"}}]}
    body = {"resourceSpans": [{"resource": service, "scopeSpans": [{"spans": [span]}]}]}
    try:
        return collector.post("/v1/traces", json=body).status_code == 200
    except httpx2.TransportError:
        return False


def lengths(jaeger: httpx2.Client) -> dict[str, int]:
    """Returns the number of spans of each trace that was kept, by the name of its first span."""
    found = jaeger.get("/api/traces", params={"service": "order"}).raise_for_status().json()["data"] or ()
    return {trace["spans"][0]["operationName"]: len(trace["spans"]) for trace in found}


def parents(span: dict[str, Any]) -> list[str]:
    return [each["spanID"] for each in span["references"] if each["refType"] == "CHILD_OF"]
