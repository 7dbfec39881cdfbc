"""The verdict on a run: its statistics are summed up, and compared with thresholds."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

import gate
from report import line, tables
from shopctl.audit.finding import Finding
from shopctl.load.verdict import verdict
from summary import is_read, percentile, summarize
from windows import Look, Windows


@dataclass
class Entry:
    method: str
    name: str
    response_times: dict[int, int]
    num_failures: int = 0

    @property
    def num_requests(self) -> int:
        return sum(self.response_times.values())

    @property
    def max_response_time(self) -> int:
        return max(self.response_times)


@dataclass
class Failure:
    method: str
    name: str
    error: str
    occurrences: int


ENTRIES = [
    Entry("GET", "browse", {10: 90, 200: 10}),
    Entry("GET", "product", {20: 50}),
    Entry("POST", "order", {30: 18, 10_000: 2}, num_failures=2),
    Entry("refused", "order: price-changed", {5: 3}),
    Entry("later", "order: too-many-requests", {1: 4}),
    Entry("journey", "order to CONFIRMED", {300: 17}),
    Entry("refused", "order to CONFIRMED: rejected", {900: 1}),
]
FAILURES = [Failure("POST", "order", "500 internal-error", 2)]
SALE = {
    "stock": 10,
    "sold": 10,
    "held": 0,
    "available": 0,
    "shoppers": 100,
    "outcomes": {"confirmed": 10, "sold out": 90},
    "refused_reads_p95": 100,
    "recovery": 2.0,
}


@pytest.fixture
def summary() -> dict[str, Any]:
    found = summarize(ENTRIES, FAILURES, seconds=10)
    return found | {"errors": [], "locust": {"processes": 1, "cpu_ms_per_request": 0.5, "memory": 70e6}}


def reasons(summary: dict[str, Any], **limits: float) -> list[str]:
    return gate.judge(summary, gate.Thresholds(**({"failed": 1.0, "order_p95": 1e6} | limits)))


def test_the_summary_has_each_step(summary: dict[str, Any]) -> None:
    order = summary["steps"]["order"]
    assert order["requests"] == 27
    assert order["per_second"] == 2.7
    assert (order["p50"], order["p95"], order["max"]) == (30, 10_000, 10_000)
    assert order["refused"] == {"price-changed": 3, "too-many-requests": 4}
    assert order["failed"] == {"500 internal-error": 2}
    assert summary["steps"]["order to CONFIRMED"]["refused"] == {"rejected": 1}


def test_the_summary_counts_requests_but_not_journeys(summary: dict[str, Any]) -> None:
    assert (summary["requests"], summary["refused"], summary["failed"]) == (177, 7, 2)
    assert (summary["orders"], summary["confirmed"]) == (18, 17)


def test_kinds_of_steps_have_their_own_percentiles(summary: dict[str, Any]) -> None:
    assert summary["kinds"]["reads"] == {"p50": 10, "p95": 200, "p99": 200}
    assert summary["kinds"]["confirmed"]["p95"] == 300


@pytest.mark.parametrize(
    ("times", "share", "value"),
    [({}, 0.5, 0), ({7: 1}, 0.99, 7), ({1: 95, 2: 5}, 0.95, 1), ({1: 94, 2: 6}, 0.95, 2), ({5: 1, 1: 1}, 1, 5)],
)
def test_percentile(times: dict[int, int], share: float, value: int) -> None:
    assert percentile(times, share) == value


@pytest.mark.parametrize("step", ["browse", "order status", "page: home"])
def test_a_step_that_reads(step: str) -> None:
    assert is_read(step)


@pytest.mark.parametrize(
    "step", ["order", "cart", "page: add to cart", "page: order", "page: file", "order to CONFIRMED"]
)
def test_a_step_that_is_not_counted_as_a_read(step: str) -> None:
    assert not is_read(step)


def test_a_good_run_passes(summary: dict[str, Any]) -> None:
    assert reasons(summary) == []


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ({"failed": 0.01}, "1.13% of the requests failed (at most 1.00%)"),
        ({"reads_p95": 199}, "p95 of reads is 200 ms (at most 199 ms)"),
        ({"order_p95": 9_999}, "p95 of orders is 10,000 ms (at most 9,999 ms)"),
        ({"confirmed_p95": 299}, "p95 of orders to CONFIRMED is 300 ms (at most 299 ms)"),
        ({"orders": 19}, "18 orders (at least 19)"),
        ({"confirmed": 18}, "17 orders became CONFIRMED (at least 18)"),
        ({"later": 0.02}, "2.26% of the requests were to come later (at most 2.00%)"),
    ],
)
def test_each_threshold_fails_a_run(summary: dict[str, Any], limit: dict[str, float], reason: str) -> None:
    assert reasons(summary, **limit) == [reason]


def test_what_a_hostile_shopper_achieves_fails_a_run() -> None:
    entries = [*ENTRIES, Entry("GET", "hostile", {5: 1000}, num_failures=1)]
    found = summarize(entries, [Failure("GET", "hostile", "hostile: another's order", 1)], 10)

    assert reasons(found) == ["hostile: another's order: was not refused"]


def test_a_run_without_an_answer_fails() -> None:
    assert "no request was answered" in reasons(summarize([], [], 10), orders=0)


def test_a_run_without_a_confirmed_order_fails() -> None:
    found = summarize([*ENTRIES[:-2], Entry("refused", "order to CONFIRMED: payment-failed", {50: 18})], [], 10)

    assert reasons(found) == ["0 orders became CONFIRMED (at least 1)"]


def test_orders_that_are_not_settled_at_the_end_have_lasted_at_least_until_then() -> None:
    found = summarize([*ENTRIES, Entry("unsettled", "order to CONFIRMED", {20_000: 2})], [], 10)

    assert found["confirmed"] == 17
    assert found["steps"]["order to CONFIRMED"]["refused"]["not settled at the end"] == 2
    assert reasons(found, confirmed_p95=3_000) == ["p95 of orders to CONFIRMED is 20,000 ms (at most 3,000 ms)"]


def test_a_service_that_is_down_is_a_failure_however_clear_the_answer_of_the_edge() -> None:
    found = summarize([*ENTRIES, Entry("later", "browse: service-unavailable", {1: 20})], FAILURES, 10)

    assert (found["failed"], found["refused"], found["later"]) == (22, 7, 4)
    assert found["steps"]["browse"]["failed"] == {"503 service-unavailable": 20}


def test_requests_per_second_are_those_until_the_end_of_the_load() -> None:
    assert summarize(ENTRIES, FAILURES, 10, {"browse": 80})["steps"]["browse"]["per_second"] == 8


def test_a_good_sale_passes(summary: dict[str, Any]) -> None:
    assert reasons(summary | {"sale": SALE}) == []


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"sold": 11}, "11 units of 10: 11 sold, 0 held, 0 available"),
        ({"sold": 8, "held": 1}, "9 units of 10: 8 sold, 1 held, 0 available"),
        ({"sold": 11, "available": -1}, "10 units of 10: 11 sold, 0 held, -1 available"),
        ({"outcomes": {"confirmed": 10, "no answer": 4}}, "90 of 100 shoppers got no answer"),
        ({"refused_reads_p95": 2_000}, "p95 of reads is 2,000 ms while buyers are refused (at most 1,000 ms)"),
        ({"recovery": 11.0}, "the shop recovered 11 s after the last hunter (at most 10 s)"),
    ],
)
def test_a_sale_has_thresholds_of_its_own(summary: dict[str, Any], wrong: dict[str, Any], reason: str) -> None:
    assert reasons(summary | {"sale": SALE | wrong}) == [reason]


def test_the_environment_changes_thresholds() -> None:
    assert gate.thresholds("spike", "") == gate.THRESHOLDS["spike"]

    changed = gate.thresholds("spike", "reads_p95=50, failed=0")

    assert (changed.reads_p95, changed.failed) == (50, 0)
    assert changed.order_p95 == gate.THRESHOLDS["spike"].order_p95


@pytest.mark.parametrize("text", ["reads=50", "reads_p95", "reads_p95=fast", "reads_p95=-1", "reads_p95=nan"])
def test_an_invalid_threshold_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="must be like reads_p95=300"):
        gate.thresholds("steady", text)


def test_recovery_lasts_until_nothing_is_wrong_any_more() -> None:
    windows = Windows(slow=100)
    fast, slow = Counter({10: 20}), Counter({500: 20})

    windows.see(1, Look(fast, 20))
    windows.see(2, Look(fast + slow, 40, later=3))
    windows.see(3, Look(fast + slow + fast, 60, later=3, failed=2))
    windows.see(4, Look(fast + slow + fast + slow, 80, later=3, failed=2))
    windows.see(5, Look(fast + slow + fast + slow + fast, 100, later=3, failed=2))

    assert windows.figures(closed=1.5)["recovery"] == 2.5
    assert windows.figures(closed=9)["recovery"] == 0


@pytest.mark.parametrize(("unserved", "requests", "trouble"), [(1, 5, 0), (2, 5, 1), (5, 100, 0), (6, 100, 1)])
def test_a_few_requests_without_an_answer_are_no_trouble(unserved: int, requests: int, trouble: float) -> None:
    windows = Windows(slow=100)

    windows.see(1, Look(Counter(), requests, failed=unserved))

    assert windows.trouble == trouble


def test_reads_are_measured_while_buyers_are_refused() -> None:
    windows = Windows(slow=1_000)

    windows.see(1, Look(Counter({10: 20})))
    windows.see(2, Look(Counter({10: 20, 70: 5}), refused=1))
    windows.see(3, Look(Counter({10: 20, 70: 5, 900: 5}), refused=1))

    assert windows.figures(0)["refused_reads_p95"] == 70


@dataclass
class Case:
    """What the gate and the audit found, and the line that people see."""

    line: str
    passes: bool = True
    reasons: list[str] = field(default_factory=list)
    wrong: dict[str, list[str]] = field(default_factory=dict)


@pytest.mark.parametrize(
    "case",
    [
        Case("PASS: 18 orders, none lost, none doubled;"),
        Case("FAIL: 18 orders (at least 19)", False, reasons=["18 orders (at least 19)"]),
        Case("FAIL: A4: acknowledged, but lost (2)", False, wrong={"acknowledged, but lost": ["k1", "k2"]}),
    ],
    ids=["passes", "the gate", "the audit"],
)
def test_the_verdict_is_one_line(summary: dict[str, Any], case: Case) -> None:
    passes, text = verdict(summary | {"reasons": case.reasons}, [Finding("A4", "", wrong=case.wrong)])

    assert passes is case.passes
    assert text.startswith(case.line)
    assert "\n" not in text


def test_without_a_summary_the_run_fails() -> None:
    assert verdict(None, []) == (False, "FAIL: Locust did not end its run")


def test_the_report_shows_steps_refusals_failures_and_the_sale(summary: dict[str, Any]) -> None:
    text = "\n".join(tables(summary | {"sale": SALE}))

    assert "order to CONFIRMED" in text
    assert "4  too-many-requests (order)" in text
    assert "2  500 internal-error (order)" in text
    assert "10 of 10 units sold; 100 shoppers: 10 confirmed, 90 sold out" in text


def test_a_line_of_progress() -> None:
    now = {"at": 5.0, "shoppers": 200, "requests": 312.4, "orders": 12.4, "p95": 45, "refused": 3, "failed": 0}
    assert " ".join(line(now).split()) == ("5 s 200 shoppers 312 requests/s 12.4 orders/s p95 45 ms refused 3 failed 0")
