"""The tools, the charts and the documentation agree with the order service on the statuses of an order."""

import re
from collections import defaultdict
from pathlib import Path

from order.models import OPEN, TRANSITIONS, UNDOING, Status, settled
from shopctl import statuses

ROOT = Path(__file__).parents[2]


def steps() -> dict[str, set[str]]:
    """The statuses that follow each status, by the model."""
    found = defaultdict(set)
    for (before, _), step in TRANSITIONS.items():
        found[str(before)].add(str(step.status))
    return dict(found)


def test_shopctl_knows_what_is_open_and_what_is_being_undone() -> None:
    assert set(statuses.OPEN) == OPEN
    assert set(statuses.UNDOING) == UNDOING


def test_shopctl_knows_each_legal_step() -> None:
    assert {before: after for before, after in statuses.LEGAL.items() if before} == steps()


def test_shopctl_knows_which_orders_are_undone() -> None:
    assert set(statuses.UNDONE) == {status for status in Status if settled(status)} - {Status.CONFIRMED}


def test_the_smoke_test_of_the_charts_waits_while_an_order_is_open() -> None:
    text = (ROOT / "charts/shop/files/smoke.py").read_text()
    (waits_for,) = re.findall(r"if status in \((.*)\):", text)
    assert set(re.findall(r"[A-Z_]+", waits_for)) == OPEN


def test_the_diagram_shows_each_step() -> None:
    text = (ROOT / "docs/checkout.md").read_text()
    shown = defaultdict(set)
    for before, after in re.findall(r"^ +([A-Z_]+) --> ([A-Z_]+):", text, re.MULTILINE):
        shown[before].add(after)
    assert dict(shown) == steps()
