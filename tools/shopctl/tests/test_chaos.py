"""Chaos runs: a seed determines the schedule, recovery is measured as docs/chaos.md says, a verdict is strict."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from chassis.local.processes import StartError
from shopctl.audit.finding import Finding
from shopctl.chaos import catalog, helpers, tables
from shopctl.chaos.command import app
from shopctl.chaos.fault import Fault
from shopctl.chaos.injection import Note, heal
from shopctl.chaos.recovery import JOURNEY, Request, intervals, limits, recovery
from shopctl.chaos.report.chart import lanes
from shopctl.chaos.report.page import page
from shopctl.chaos.run import Running, _interrupted
from shopctl.chaos.schedule import AUDIT_EVERY, LEAD_IN, Planned, Round, draw, parts, touched
from shopctl.chaos.session import session
from shopctl.chaos.timeline import Audit, Injected, Recovery, Run, read, save
from shopctl.native.shop import NativeShop
from shopctl.options import duration
from shopctl.place import Place

NAMES = ("order", "cart", "edge", "postgres", "rabbitmq")
POSSIBLE = {
    "kill": (NAMES, (0.0, 3.0)),
    "freeze": (NAMES, (3.0, 15.0)),
    "delay": (["order>postgres", "cart>rabbitmq"], (5.0, 10.0)),
}


# --- the schedule --------------------------------------------------------------------------------


def test_a_seed_determines_the_schedule() -> None:
    assert draw(POSSIBLE, NAMES, 7, 180) == draw(POSSIBLE, NAMES, 7, 180)
    assert draw(POSSIBLE, NAMES, 7, 180) != draw(POSSIBLE, NAMES, 8, 180)


def test_a_longer_run_begins_as_a_shorter_one() -> None:
    short = draw(POSSIBLE, NAMES, 7, 60)
    assert draw(POSSIBLE, NAMES, 7, 600)[: len(short)] == short


@pytest.mark.parametrize("seconds", [1, 60, 600])
def test_a_schedule_has_a_fault_and_takes_about_as_long_as_asked(seconds: float) -> None:
    for seed in range(50):
        rounds = draw(POSSIBLE, NAMES, seed, seconds)
        assert rounds
        assert len(rounds) == 1 or abs(LEAD_IN + sum(each.seconds for each in rounds) - seconds) < 20


def test_every_fault_comes_before_one_comes_again() -> None:
    for seed in range(50):
        first = [each.faults for each in draw({**POSSIBLE}, NAMES, seed, 300)[:3]]
        assert {fault.fault for faults in first for fault in faults} == set(POSSIBLE)


def test_two_faults_at_once_touch_different_processes_and_a_store_comes_back_first() -> None:
    pairs = [each.faults for seed in range(100) for each in draw(POSSIBLE, NAMES, seed, 300) if len(each.faults) == 2]
    assert len(pairs) > 100
    for outer, inner in pairs:
        assert not touched(outer.on, NAMES) & touched(inner.on, NAMES)
        assert outer.on not in ("postgres", "rabbitmq") or inner.on in ("postgres", "rabbitmq")


def test_a_link_touches_both_its_ends_and_no_longer_name() -> None:
    assert touched("order>postgres", NAMES) == {"order", "postgres"}
    assert touched("postgres-exporter", ("postgres", "postgres-exporter")) == {"postgres-exporter"}


def test_an_audit_follows_after_each_five_faults() -> None:
    rounds = draw(POSSIBLE, NAMES, 7, 600)
    found = parts(rounds)
    assert [each for part in found for each in part] == rounds
    assert all(AUDIT_EVERY <= sum(len(each.faults) for each in part) <= AUDIT_EVERY + 1 for part in found[:-1])


# --- recovery ------------------------------------------------------------------------------------


def steady(begin: float, end: float, step: str = "cart", ms: float = 20, outcome: str = "ok") -> list[Request]:
    """A request each tenth of a second."""
    return [Request(begin + number / 10, step, ms, outcome) for number in range(round((end - begin) * 10))]


def seen(*requests: Sequence[Request], confirmed: Sequence[float] = ()) -> Recovery:
    """A fault from second 10 to second 20, which was watched until second 30."""
    everything = sorted((each for some in requests for each in some), key=lambda each: each.end)
    return recovery(everything, confirmed, 10, 20, 30, limits(steady(0, 10)))


def test_a_fault_that_nobody_notices() -> None:
    found = seen(steady(0, 30), confirmed=[21.5])
    assert (found.outage, found.failed, found.refused) == (0.02, 0, 0)
    assert (found.answering, found.confirming, found.watched) == (0, 1.5, 10)


def test_an_outage_lasts_from_the_first_failed_request_to_the_next_good_answer() -> None:
    found = seen(steady(0, 12), steady(12, 18, outcome="failed"), steady(18, 30))
    assert found.outage == pytest.approx(6.02)
    assert (found.step, found.failed) == ("cart", 60)


def test_an_outage_of_one_step_counts_although_others_go_on() -> None:
    found = seen(steady(0, 30, "browse"), steady(0, 12), steady(12, 18, outcome="later"), steady(18, 30))
    assert (found.step, found.refused) == ("cart", 60)
    assert found.outage == pytest.approx(6.02)


def test_shoppers_who_wait_for_a_frozen_process_have_an_outage_without_a_failure() -> None:
    found = seen(steady(0, 12), [Request(12, "cart", 7000, "ok")], steady(19, 30))
    assert (found.outage, found.failed) == (7, 0)


def test_a_no_is_an_answer() -> None:
    found = seen(steady(0, 30, outcome="refused"))
    assert (found.outage, found.refused, found.answering) == (0.02, 0, 0)


def test_a_time_without_requests_is_no_outage() -> None:
    assert seen(steady(0, 12), steady(25, 30)).outage == 0.02


def test_an_outage_that_does_not_end_lasts_until_nobody_looks_any_more() -> None:
    assert seen(steady(0, 12), steady(12, 29, outcome="failed")).outage == 18


@pytest.mark.parametrize("worse", [{"outcome": "failed"}, {"outcome": "later"}, {"ms": 900}])
def test_recovered_is_when_answers_stay_good_and_fast(worse: dict[str, float]) -> None:
    found = seen(steady(0, 20), steady(20, 22, **worse), steady(22, 30))
    assert found.answering is not None
    assert 1.5 < found.answering < 3


def test_a_single_slow_answer_does_not_delay_recovery() -> None:
    assert seen(steady(0, 30), [Request(20.5, "cart", 900, "ok")]).answering == 0


def test_a_request_that_still_waits_is_an_outage_until_nobody_looks_any_more() -> None:
    found = seen(steady(0, 30, "browse"), steady(0, 12), [Request(12, "cart", 20_000, "failed")])
    assert (found.step, found.outage, found.failed) == ("cart", pytest.approx(18), 0)


def test_answers_may_come_late_after_a_fault_and_then_be_good() -> None:
    assert seen(steady(0, 12), steady(25, 30)).answering == pytest.approx(5.02)
    assert seen(steady(0, 12), steady(28, 30)).answering is None


def test_what_has_not_recovered_in_time_has_no_figure() -> None:
    found = seen(steady(0, 20), steady(20, 28, outcome="failed"), steady(28, 30))
    assert (found.answering, found.confirming) == (None, None)
    assert tables.seconds(found.answering, found.watched) == "> 10.0 s"


def test_an_orders_way_is_no_request() -> None:
    assert seen(steady(0, 30), steady(10, 30, JOURNEY, outcome="failed")).failed == 0


def test_intervals_hold_every_answer_once_and_are_few() -> None:
    requests = sorted(steady(0, 1000) + steady(0, 1000, outcome="failed"), key=lambda each: each.end)
    width, found = intervals(requests, [0.5, 999], 1001)
    assert len(found) <= 301
    assert width == 4
    assert sum(each.ok for each in found) == sum(each.failed for each in found) == 10_000
    assert sum(each.confirmed for each in found) == 2
    assert found[0].p95 == 20


# --- the verdict ---------------------------------------------------------------------------------


def a_run(**fields: object) -> Run:
    found = Recovery(2.5, "order", 3, 4, 0.5, None, 6)
    faults = [Injected("kill", "order", "kills a process", 10, 12, None, found), Injected("stop", "edge", "…", 20, 25)]
    good = Audit(30, 31, 2, [Finding("A1", "stock"), Finding("A4", "attempts", {"orders": 9})])
    values = {"orders": 9, "faults": faults, "audits": [good], "length": 31.0} | fields
    return Run(7, 60, 60, "native", "shopctl chaos run --seed 7", 1e9, {"Python": "3"}, 2, **values)  # type: ignore[arg-type]


def test_a_run_passes_if_every_audit_does() -> None:
    run = a_run()
    assert run.trouble == []
    assert tables.verdict(run) == (
        "Passed: 2 faults, 9 orders, lost 0, doubled 0, longest outage 2.5 s (kill on order)"
    )


def test_orders_that_are_lost_or_doubled_are_counted() -> None:
    wrong = {"acknowledged, but lost": ["a", "b"], "several orders for one key": ["c"]}
    failed = [Finding("A3", "", {}, {"captured more than once": ["d"]}), Finding("A4", "", {}, wrong)]
    run = a_run(audits=[Audit(5, 6, 1, [Finding("A1", "")]), Audit(30, 31, 2, failed)])
    assert (run.lost, run.doubled) == (2, 2)
    assert tables.verdict(run).startswith("FAILED: 2 faults, 9 orders, lost 2, doubled 2")
    assert [each.fault for each in tables.suspects(run)] == ["stop"]


@pytest.mark.parametrize(
    "audits",
    [
        [],
        [Audit(30, 31, 2, [], "no longer running: cart")],
        [Audit(5, 6, 1, [Finding("A1", "")])],
    ],
    ids=["none", "error", "too early"],
)
def test_what_no_audit_has_checked_is_not_said_to_be_zero(audits: list[Audit]) -> None:
    run = a_run(audits=audits)
    assert "lost not checked, doubled not checked" in tables.verdict(run)
    assert "<dt>orders lost</dt><dd>not checked</dd>" in page(run)
    assert "| 7 | 2 | 9 | not checked | not checked |" in tables.summary([run])
    assert "| all | 4 | 18 | not checked | not checked |" in tables.summary([a_run(), run])


@pytest.mark.parametrize(
    "fields",
    [
        {"orders": 0},
        {"stopped": "Locust has ended by itself"},
        {"audits": [Audit(1, 2, 0, [], "no longer running: cart")]},
        {"audits": []},
        {"faults": [Injected("kill", "order", "…", 1, 2, "order was not ready within 60 s")]},
        {"faults": []},
    ],
    ids=str,
)
def test_a_run_that_proves_nothing_fails(fields: dict[str, object]) -> None:
    assert a_run(**fields).trouble


def test_what_the_verdict_counts_is_what_the_audit_reports() -> None:
    audit = "".join(file.read_text() for file in (Path(tables.__file__).parents[1] / "audit").glob("*.py"))
    for how in ("acknowledged, but lost", "several orders for one key", "captured more than once"):
        assert f'"{how}"' in audit


def test_a_run_is_read_as_it_was_saved(tmp_path: Path) -> None:
    save(a_run(), tmp_path)
    assert read(tmp_path) == a_run()


def test_a_summary_has_the_worst_of_each_fault_and_each_seed() -> None:
    kinds, seeds = tables.summary([a_run(), a_run()]).split("\n\n")
    assert "| `kill` | 2 | 2.5 s, on order | 0.5 s | > 6.0 s | 6 | 8 |" in kinds
    assert "| all | 4 | 18 | 0 | 0 |" in seeds
    assert "| `stop` | 2 | – | – | – | 0 | 0 |" in kinds


def test_a_run_whose_first_audit_fails_is_saved_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Running, "_audit", lambda running: False)
    shop: Any = NativeShop(Place(Place.here().root, tmp_path))
    assert not session(shop, [catalog.find("kill")], 7, 20, 5, [])
    (folder,) = (tmp_path / "chaos").glob("*-seed7")
    assert read(folder).faults == []


# --- notes ---------------------------------------------------------------------------------------


def test_a_note_that_cannot_be_read_does_not_keep_others_from_being_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []

    def end(shop: object, on: str, state: object) -> None:
        ended.append(on)
        if on == "a":
            raise RuntimeError("nobody expects this")

    fault = Fault("kill", "", lambda shop: ["a", "b"], lambda shop, on, state: None, end)
    monkeypatch.setattr(catalog, "find", lambda name: fault)
    shop: Any = SimpleNamespace(place=Place(tmp_path, tmp_path))
    folder = tmp_path / "chaos" / "active"
    folder.mkdir(parents=True)
    for name in ("b", "a"):
        note = Note("kill", name, 1.0, 1, {})
        (folder / f"{name}.json").write_bytes(msgspec.json.encode(note))
    (folder / "half.json").write_text('{"fault": "ki')
    with pytest.raises(StartError, match=r"half\.json cannot be read[\s\S]+kill on a is still in effect: nobody"):
        heal(shop)
    assert sorted(ended) == ["a", "b"]
    assert sorted(file.name for file in folder.iterdir()) == ["a.json", "half.json"]


def test_nothing_is_started_to_undo_faults_of_a_stopped_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_RUN", str(tmp_path))
    monkeypatch.setenv("RUNTIME", "native")
    shop: Any = NativeShop(Place(Place.here().root, tmp_path))
    note = tmp_path / "chaos" / "active" / "1.json"
    for folder in (tmp_path / "logs", note.parent):
        folder.mkdir(parents=True)
    helper = helpers.start(shop, "sessions-1", ("sleep", "60"), "sessions")
    note.write_bytes(msgspec.json.encode(Note("kill", "order", 1.0, 1, {})))
    done = CliRunner().invoke(app, ["heal"])
    assert (done.exit_code, "The shop does not run" in done.output) == (2, True)
    assert not helper.alive()
    assert (note.exists(), shop.processes()) == (True, {})


def test_a_fault_that_cannot_be_undone_does_not_end_the_other_of_its_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[str] = []

    def end(shop: object, on: str, state: object) -> None:
        did.append(f"end {on}")
        if did.count("end b") == 1 and on == "b":
            raise StartError("not yet")

    fault = Fault("kill", "", lambda shop: ["a", "b"], lambda shop, on, state: did.append(f"begin {on}"), end)
    monkeypatch.setattr(catalog, "find", lambda name: fault)
    shop: Any = SimpleNamespace(place=Place(tmp_path, tmp_path))
    traffic: Any = SimpleNamespace(flowing=nullcontext, sleep=lambda seconds: None)
    running = Running(shop, a_run(faults=[]), traffic, lambda text: None)
    monkeypatch.setattr(running, "_audit", lambda: True)
    running._part([Round((Planned("kill", "a", 0.5), Planned("kill", "b", 0.1)), 0.1, 0.1)])
    assert did == ["begin a", "begin b", "end b", "end a", "end b"]
    assert [each.error for each in running.run.faults] == [None, "not yet"]


# --- small things --------------------------------------------------------------------------------


def test_labels_of_faults_do_not_overlap() -> None:
    faults = [Injected("kill", "order", "", at, at + 1) for at in (0, 5, 8, 30)]
    assert lanes(faults, [10, 10, 10, 10], 60) == [0, 1, 2, 0]


def test_rounds_know_how_long_they_take() -> None:
    assert Round((Planned("kill", "a", 2.0), Planned("kill", "b", 5.0)), 1.0, 4.0).seconds == 1 + 5 + 2 + 2 + 4


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("3m", 180), ("2m30s", 150), ("1h", 3600), ("0.5", 0.5)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", " ", "m", "3x", "-1", "nan", "inf", "25h", "1m1h", "٣m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        duration(text)


def test_an_interruption_is_known_although_undoing_failed() -> None:
    def undo() -> None:
        try:
            raise TimeoutError
        except TimeoutError as slow:
            raise StartError("order was not ready within 60 s") from slow

    def interrupted() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            undo()

    with pytest.raises(StartError) as raised:
        interrupted()
    assert _interrupted(raised.value)
    with pytest.raises(StartError) as raised:
        undo()
    assert not _interrupted(raised.value)
