"""`shopctl top`: figures from two looks at the shop, what is wrong, and a page that fits the terminal."""

import io
from collections.abc import Mapping
from dataclasses import replace
from math import nan
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from rich.console import Console
from rich.screen import Screen
from typer.testing import CliRunner

from shopctl import services
from shopctl.main import app
from shopctl.top.figures import Figures, figures
from shopctl.top.page import Page, curve
from shopctl.top.series import parse
from shopctl.top.snapshot import Process, Snapshot
from shopctl.top.trouble import trouble
from shopctl.topology import Queue, queues

SERVICES = services.load(Path(__file__).parents[3])
NOW = 1_800_000_000.0


class Reported:
    """What one process reports, in the names of docs/reference/telemetry.md."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Histogram(
            "http_server_request_duration_seconds",
            "…",
            ["http_request_method", "http_route", "http_response_status_code"],
            buckets=(0.01, 0.1, 1),
            registry=registry,
        )
        self.placed = Counter("quayside_orders_placed", "…", registry=registry)
        self.settled = Counter("quayside_orders_settled", "…", ["status"], registry=registry)
        self.confirmation = Histogram("quayside_order_confirmation_seconds", "…", buckets=(0.1, 1), registry=registry)
        self.open = Gauge("quayside_orders_open", "…", ["status"], registry=registry)
        self.oldest = Gauge("quayside_orders_oldest_open_seconds", "…", ["status"], registry=registry)
        self.undecided = Gauge("quayside_payments_undecided", "…", ["state"], registry=registry)
        self.stuck = Gauge("quayside_payments_stuck", "…", registry=registry)
        self.outbox_events = Gauge("quayside_outbox_events", "…", registry=registry)
        self.outbox_age = Gauge("quayside_outbox_age_seconds", "…", registry=registry)
        self.audit_ok = Gauge("quayside_audit_ok", "…", ["invariant"], registry=registry)
        self.audit_at = Gauge("quayside_audit_timestamp_seconds", "…", registry=registry)

    def request(self, seconds: float, status: int = 200, route: str = "/api/orders/{order_id}") -> None:
        self.requests.labels("GET", route, status).observe(seconds)

    def process(self, name: str = "order") -> Process:
        return Process(name.partition("-")[0], name, True, 70_000_000, parse(generate_latest(self.registry).decode()))


def snapshot(at: float, *processes: Process, queues: Mapping[str, Queue | None] | None = None) -> Snapshot:
    return Snapshot(at, processes, GOOD_QUEUES if queues is None else queues)


GOOD_QUEUES = {name: Queue(0, 0 if "." in name else 1) for name in queues(SERVICES)}


def quiet(**queues: Queue | None) -> Figures:
    """The figures of a shop in which all is well."""
    up = [Process(name, name, True) for name in (*SERVICES.names, "postgres", "valkey", "rabbitmq", "edge")]
    look = snapshot(NOW, *up, queues={**GOOD_QUEUES, **queues})
    return figures(look, look, SERVICES)


# --- figures -------------------------------------------------------------------------------------


def test_rates_and_quantiles_are_those_of_the_time_between_two_looks() -> None:
    order = Reported()
    for _ in range(1000):
        order.request(5)  # long ago
    before = snapshot(NOW, order.process())
    for _ in range(90):
        order.request(0.005)
    for _ in range(10):
        order.request(0.05, status=503)
    order.placed.inc(20)
    order.settled.labels("CONFIRMED").inc(15)
    order.settled.labels("REJECTED").inc(5)
    order.settled.labels("CANCELLED").inc(40)
    order.confirmation.observe(0.05)

    found = figures(before, snapshot(NOW + 10, order.process()), SERVICES)

    (service,) = found.services
    assert (service.name, service.requests, service.errors) == ("order", 10.0, 1.0)
    assert service.p50 == pytest.approx(0.0056, abs=0.0001)
    assert service.p95 == pytest.approx(0.055)
    assert (found.orders.placed, found.orders.confirmed, found.orders.failed) == (2.0, 1.5, 0.5)
    assert found.orders.p50 == pytest.approx(0.05)
    (route,) = found.routes
    assert (route.service, route.name, route.requests) == ("order", "GET /api/orders/{order_id}", 10.0)


def test_the_edge_is_shown_with_what_its_exporter_counts() -> None:
    registry = CollectorRegistry()
    seen = Histogram("quayside_edge_request_duration_seconds", "…", ["service", "status"], registry=registry)

    def look(at: float) -> Snapshot:
        return snapshot(at, Process("edge", "edge", True, None, parse(generate_latest(registry).decode())))

    before = look(NOW)
    seen.labels("order", "2xx").observe(0.1)
    seen.labels("edge", "503").observe(0.1)
    (edge,) = figures(before, look(NOW + 1), SERVICES).services
    assert (edge.name, edge.requests, edge.errors) == ("edge", 2.0, 1.0)


def test_replicas_are_added_and_one_that_restarted_counts_from_zero() -> None:
    first, second = Reported(), Reported()
    for _ in range(100):
        first.request(0.1)
        second.request(0.1)
    before = snapshot(NOW, first.process("order"), second.process("order-2"))
    first.request(0.1)
    again = Reported()
    again.request(0.1)

    (order,) = figures(before, snapshot(NOW + 1, first.process("order"), again.process("order-2")), SERVICES).services

    assert (order.processes, order.up, order.requests, order.memory) == (2, 2, 2.0, 140_000_000)


def test_what_a_new_process_counted_before_is_not_recent() -> None:
    order = Reported()
    order.request(0.1)
    (service,) = figures(snapshot(NOW), snapshot(NOW + 1, order.process()), SERVICES).services
    assert service.requests == 0


def test_open_orders_and_the_audit_are_the_same_in_all_processes_of_a_service() -> None:
    order = Reported()
    order.open.labels("RESERVED").set(3)
    order.oldest.labels("RESERVED").set(7)
    order.audit_ok.labels("stock").set(0)
    order.audit_ok.labels("money").set(1)
    order.audit_at.set(NOW - 60)
    look = snapshot(NOW, order.process("order"), order.process("order-2"))
    found = figures(look, look, SERVICES)
    assert [(each.state, each.count, each.age) for each in found.orders.open] == [("RESERVED", 3, 7)]
    assert found.audit
    assert (found.audit.at, found.audit.failed) == (NOW - 60, ["stock"])


def test_a_gauge_that_could_not_be_read_counts_for_nothing() -> None:
    blind, seeing = Reported(), Reported()
    blind.stuck.set(nan)
    seeing.stuck.set(2)
    alone = snapshot(NOW, blind.process("payment"))
    both = snapshot(NOW, blind.process("payment"), seeing.process("payment-2"))

    assert figures(alone, alone, SERVICES).orders.stuck is None
    assert figures(both, both, SERVICES).orders.stuck == 2


# --- what is wrong -------------------------------------------------------------------------------


def test_nothing_is_wrong_with_a_quiet_shop() -> None:
    assert trouble(quiet()) == []


def test_each_kind_of_trouble_is_one_sentence() -> None:
    order = Reported()
    order.outbox_age.set(61)
    order.stuck.set(2)
    order.open.labels("PENDING").set(1)
    order.oldest.labels("PENDING").set(300)
    order.audit_ok.labels("money").set(0)
    order.audit_at.set(NOW)
    before = snapshot(NOW, order.process())
    order.request(1, status=500)
    bad = {"order": Queue(5, 0), "order.dead": Queue(3, 0), "payment": None}
    down = [Process("order", "order-2", False), Process("cart", "cart", False), Process("postgres", "postgres", False)]
    now = snapshot(NOW + 1, order.process(), *down, queues={**GOOD_QUEUES, **bad})
    assert trouble(figures(before, now, SERVICES)) == [
        "postgres does not answer.",
        "cart does not answer.",
        "1 of 2 processes of order do not answer.",
        "The queue order has no consumer.",
        "The queue payment is missing.",
        "order answers 1.0 requests a second with an error.",
        "order has 3 dead letters: `shopctl dead-letters list order`",
        "order has not published an event for 61.0 s.",
        "2 payments need an operator: `shopctl payments list --stuck`",
        "The oldest PENDING order has had this status for 5.0 min.",
        "The last audit was not clean: money",
    ]


def test_a_broker_that_does_not_answer_is_named_once() -> None:
    def with_rabbitmq(up: bool) -> list[str]:
        look = Snapshot(NOW, [Process("rabbitmq", "rabbitmq", up)], None)
        return trouble(figures(look, look, SERVICES))

    assert with_rabbitmq(True) == ["RabbitMQ does not answer about its queues."]
    assert with_rabbitmq(False) == ["rabbitmq does not answer."]


# --- the page ------------------------------------------------------------------------------------


def drawn(page: Page, width: int, height: int, encoding: str = "utf-8") -> list[str]:
    """The lines of a page on a terminal of this size."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    console = Console(file=file, width=width, height=height, force_terminal=True, color_system=None)
    console.print(Screen(page))
    file.seek(0)
    return [line.rstrip() for line in file.read().splitlines()]


def everything_wrong() -> Figures:
    remarks = [f"Remark {number}: {'long ' * 40}" for number in range(30)]
    down = [replace(each, up=0) for each in quiet().services]
    return replace(quiet(), services=down, queues=None, remarks=remarks)


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (120, 40), (200, 60)])
@pytest.mark.parametrize("what", [quiet, everything_wrong])
def test_the_page_fits_the_terminal(what, size: tuple[int, int]) -> None:
    rates = [float(number % 7) for number in range(300)]
    lines = drawn(Page("native  http://localhost:8080", what(), rates, rates), *size)
    text = "\n".join(lines)
    assert len(lines) <= size[1]
    assert max(map(len, lines)) <= size[0]
    assert all(name in text for name in SERVICES.names)
    assert ("Nothing needs attention." in text) == (what is quiet)
    if what is everything_wrong:
        assert "more: `shopctl top --once` shows all." in text


def test_a_terminal_with_ascii_alone_gets_no_curves() -> None:
    lines = drawn(Page("native", quiet(), [1.0] * 300, [1.0] * 300), 120, 40, encoding="ascii")
    assert not any("?" * 20 in line for line in lines)


def test_a_curve_has_its_newest_value_on_the_right() -> None:
    assert curve([1, 2, None, 4, 8], 4, 1) == ["▂ ▄█"]
    assert curve([8, 4], 3, 2) == [" █ ", " ██"]
    assert curve([0.001, 8], 2, 1) == ["▁█"]
    assert curve([], 3, 1) == ["   "]


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def cli(tmp_path: Path) -> CliRunner:
    ours = {"SHOP_RUN": str(tmp_path), "SHOP_PORT_OFFSET": "30000", "RUNTIME": "native", "COLUMNS": "80"}
    return CliRunner(env=ours)


def test_without_a_shop_it_says_what_to_do(cli: CliRunner) -> None:
    result = cli.invoke(app, ["top", "--once"])
    assert result.exit_code == 1
    assert "`make up` starts it" in result.stderr
    assert "shopctl top --prometheus http://localhost:9090" in result.stderr


def test_a_prometheus_that_does_not_answer_is_one_line(cli: CliRunner) -> None:
    result = cli.invoke(app, ["top", "--once", "--prometheus", "http://127.0.0.1:9"])
    assert result.exit_code == 1
    assert "Prometheus at http://127.0.0.1:9 cannot be read" in result.stderr
    assert len(result.stderr.splitlines()) == 1
