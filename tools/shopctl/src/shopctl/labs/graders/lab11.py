"""Grades lab 11: an alert of one's own, which fires if an order waits, and only then."""

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from shopctl.labs import Lab, Missing, looking
from shopctl.place import Place

RULES = "lab11.yaml"
FIRING = 'ALERTS{alertname="OrderWaits", alertstate="firing"}'


def the_shop_is_observed() -> None:
    looking.shop_is_healthy_in_containers()
    if absent := sorted({"prometheus", "alertmanager", "jaeger"} - set(looking.containers())):
        raise Missing(f"{', '.join(absent)} does not run")


lab = Lab()
lab.start("the observed shop runs in containers", remedy="make up OBSERVE=1", look=the_shop_is_observed)

lab.question("a", hint="How many trace IDs does `shopctl trace` print above the spans of your order?")
lab.question("c", hint="When does each message begin to be sent, and when does somebody begin to process it?")
lab.question("b", hint="Stop payment and order. What does the shop answer, and which status does the order keep?")
lab.question("b", hint="Read the rules ServiceDown and OrdersOpenTooLong. What must be true, and for how long?")


def prometheus() -> dict[str, Any]:
    found = looking.containers().get("prometheus")
    if found is None:
        raise Missing("prometheus does not run")
    return found


def promtool(*arguments: str, stdin: str = "") -> str:
    """Return what promtool prints, in a container of its own with the volumes and the network of Prometheus."""
    beside, image = prometheus()["Id"], prometheus()["Config"]["Image"]
    options = ("--rm", "--interactive", "--volumes-from", f"{beside}:ro", "--network", f"container:{beside}")
    return looking.said("docker", "run", *options, "--entrypoint", "promtool", image, *arguments, stdin=stdin)


def holds(query: str) -> bool:
    """Whether a query finds anything now."""
    return bool(promtool("query", "instant", "http://localhost:9090", query))


def rules_file() -> Path:
    found = Place.here().root / "deploy/prometheus/rules" / RULES
    if not found.exists():
        raise Missing(f"there is no file deploy/prometheus/rules/{RULES}")
    return found


def fires(status: str, *, open_orders: str, oldest: str) -> bool:
    """Whether the alert fires after half a minute in which order's gauges had these values, one each 5 s."""
    rules = f"/etc/prometheus/rules/{rules_file().name}"
    labels = f'{{job="order", instance="order:8000", status="{status}"}}'
    series = [
        {"series": f"quayside_orders_open{labels}", "values": open_orders},
        {"series": f"quayside_orders_oldest_open_seconds{labels}", "values": oldest},
    ]
    expected = {
        "expr": f"count({FIRING}) > bool 0",
        "eval_time": "30s",
        "exp_samples": [{"labels": "{}", "value": 1}],
    }
    tests = [{"interval": "5s", "input_series": series, "promql_expr_test": [expected]}]
    unit_test = json.dumps({"rule_files": [rules], "evaluation_interval": "5s", "tests": tests})
    try:
        promtool("test", "rules", "/dev/stdin", stdin=unit_test)
    except Missing:
        promtool("check", "rules", rules)
        return False
    return True


@lab.check(
    "OrderWaits fires if an order waits for half a minute",
    points=2,
    hint="Which metric says how long an order has been open? docs/reference/telemetry.md lists all, by service.",
)
def it_fires() -> None:
    for status in ("PENDING", "RESERVED"):
        if not fires(status, open_orders="1x6", oldest="0+5x6"):
            raise Missing(f"no alert OrderWaits fires then for an order that is {status}")


@lab.check(
    "OrderWaits is silent in a busy shop, where each order takes a second",
    points=2,
    hint="In a busy shop there is always an order that is not finished. How does one that waits differ?",
    after=it_fires,
)
def it_is_silent() -> None:
    if fires("RESERVED", open_orders="3x6", oldest="1x6"):
        raise Missing("it fires, although no order waits")


@lab.check(
    "it has fired while payment was stopped",
    points=1,
    hint="Prometheus reads its rules when it starts, or gets SIGHUP. Does the API, /api/v1/rules, list yours?",
)
def it_has_fired() -> None:
    changed = rules_file().stat().st_mtime
    if not holds(f"prometheus_config_last_reload_success_timestamp_seconds > {changed}"):
        raise Missing("Prometheus has not read your file since you changed it")
    began = max(changed, datetime.fromisoformat(prometheus()["State"]["StartedAt"]).timestamp())
    if not holds(f"count_over_time({FIRING}[{time.time() - began:.0f}s])"):
        raise Missing("Prometheus has not seen it fire since then")


@lab.check(
    "it is over: the shop is healthy, nothing fires, and no order is open",
    points=1,
    hint="Which service does not run? `make status` shows it. Then give Prometheus two scrapes.",
    after=it_has_fired,
)
def it_is_over() -> None:
    the_shop_is_observed()
    if holds(FIRING):
        raise Missing("OrderWaits fires")
    if not holds("max(quayside_orders_open) == 0"):
        raise Missing("an order is open")
