"""The page of each lab has the same parts in the same order, and shows its grader before, wrong and at the end."""

import re
from pathlib import Path

import pytest
from lab_blocks import ROOT, parse
from sybil import Document

from shopctl.labs.grading import grader
from shopctl.labs.page import front_matter, pages

PARTS = ["Predict", "Run", "Observe", "Break", "Explain", "Fix", "Reset", "Further reading"]
PAGES = [page.path for page in pages(ROOT).values()]

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@each_page
def test_a_lab_names_its_runtime_and_time_and_has_all_parts(page: Path) -> None:
    front = front_matter(page.read_text())
    assert front["runtime"] in ("docker", "compose", "native", "cluster")
    assert int(front["minutes"]) > 0
    assert re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE) == PARTS


@each_page
def test_a_lab_is_graded_before_after_a_mistake_and_at_the_end(page: Path) -> None:
    text, number = page.read_text(), page.name[:2]
    blocks = [region.parsed for region in parse(Document(text, str(page)))]
    graded = [each for each in blocks if f"make grade LAB={number}" in each.source]
    shown = [re.search(r"(\d+) of (\d+) points$", each.shown or "", re.MULTILINE) for each in graded]
    points = [(int(found[1]), int(found[2])) for found in shown if found]
    assert len(points) >= 3
    lab = grader(number)
    of = len(lab.questions) + sum(check.points for check in lab.checks)
    assert {total for _, total in points} == {of}
    *before, last = [reached for reached, _ in points]
    assert last == of
    assert max(before) < of


def test_the_introduction_lists_every_lab_as_its_page_has_it() -> None:
    rows = re.findall(
        r"^\| \[(\d+)\. (.+)\]\((.+)\) \| (\w+) \| (\d+) \|$", (ROOT / "docs/labs/README.md").read_text(), re.M
    )
    listed = [(number.zfill(2), title, name, runtime, int(minutes)) for number, title, name, runtime, minutes in rows]
    expected = [(page.number, page.title, page.path.name, page.runtime, page.minutes) for page in pages(ROOT).values()]
    assert listed == expected
