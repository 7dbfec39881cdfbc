"""Grading: points for answers and checks, what was found, and a hint for what is missing."""

import json
from pathlib import Path
from typing import Any

import pytest

from shopctl.labs import Lab, Missing, grading, looking
from shopctl.labs.graders import lab03
from shopctl.labs.grading import grade
from shopctl.labs.page import read


@pytest.fixture
def lab() -> Lab:
    found = Lab()
    found.question("b", "both", hint="Count again.")

    @found.check("three pods are ready", points=3, hint="Scale the Deployment.")
    def pods() -> None:
        if not achieved:
            raise Missing("one pod is ready")

    achieved: list[str] = []
    found.start("a shop", remedy="make up", look=pods)
    found.achieved = achieved  # type: ignore[attr-defined]
    return found


def test_a_lab_begins_with_no_points_and_a_hint_for_each(lab: Lab) -> None:
    result = grade("09", lab, [])
    assert (result.points, result.of) == (0, 4)
    assert [mark.found for mark in result.marks] == ["there is no answer", "one pod is ready"]
    assert [mark.hint for mark in result.marks] == ["Count again.", "Scale the Deployment."]


@pytest.mark.parametrize(("answer", "points"), [("b", 1), ("BOTH", 1), ("a", 0), ("", 0)])
def test_an_answer_is_compared_without_regard_to_case(lab: Lab, answer: str, points: int) -> None:
    assert grade("09", lab, [answer]).points == points


def test_what_was_achieved_has_all_points_and_no_hint(lab: Lab) -> None:
    lab.achieved.append("it")  # type: ignore[attr-defined]
    result = grade("09", lab, ["b"])
    assert (result.points, result.of) == (4, 4)
    assert {(mark.found, mark.hint) for mark in result.marks} == {("", "")}
    assert json.loads(result.as_json())["points"] == 4


def test_a_check_that_follows_another_is_looked_at_after_that_has_passed(lab: Lab) -> None:
    looks = []
    pods = lab.checks[-1].look
    spread = lab.check("they are spread", points=2, hint="", after=pods)(lambda: looks.append("spread"))
    lab.check("a drain leaves one", points=1, hint="", after=spread)(lambda: looks.append("drain"))

    *_, second, third = grade("09", lab, []).marks
    assert second.found == third.found == "this is looked at after: three pods are ready"
    assert (second.hint, third.hint, looks) == ("", "", [])

    lab.achieved.append("it")  # type: ignore[attr-defined]
    assert grade("09", lab, ["b"]).points == 7
    assert looks == ["spread", "drain"]


def test_what_a_lab_needs_is_reported_with_the_command_that_brings_it(lab: Lab) -> None:
    assert grading.unmet(lab) == [("a shop", "one pod is ready", "make up")]
    lab.achieved.append("it")  # type: ignore[attr-defined]
    assert grading.unmet(lab) == []


def test_answers_are_kept_for_each_lab(tmp_path: Path) -> None:
    grading.keep(tmp_path, "09", ["a", "b"])
    assert grading.kept(tmp_path, "09") == ["a", "b"]
    assert grading.kept(tmp_path, "10") == []


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"answers": 1}', '{"answers": [1]}', "\xff"])
def test_a_damaged_file_of_answers_counts_as_none(tmp_path: Path, damaged: str) -> None:
    grading.keep(tmp_path, "09", ["a"])
    (tmp_path / "labs" / "09.json").write_text(damaged, encoding="latin-1")
    assert grading.kept(tmp_path, "09") == []


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="No such file"):
        looking.said("ls", str(tmp_path / "nowhere"))
    with pytest.raises(Missing, match="there is no command no-such-command"):
        looking.said("no-such-command")
    with pytest.raises(Missing, match="has not answered"):
        looking.said("sleep", "9", within=0.1)


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ({"matchLabels": {"app": "api"}}, True),
        ({"matchLabels": {"app": "api", "lab": "09"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["api", "web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["api"]}]}, False),
        ({"matchExpressions": [{"key": "lab", "operator": "Exists"}]}, True),
        ({"matchLabels": {"app": "api"}, "matchExpressions": [{"key": "lab", "operator": "DoesNotExist"}]}, False),
        ({}, True),
        (None, False),
    ],
)
def test_a_selector_finds_labels_as_in_kubernetes(selector: dict[str, Any] | None, found: bool) -> None:
    assert looking.selects(selector, {"app": "api", "lab": "08"}) is found


def test_a_page_without_its_front_matter_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "01-image.md"
    page.write_text("# An image\n")
    with pytest.raises(ValueError, match="01-image"):
        read(page)
    page.write_text("---\nruntime: docker\nminutes: 30\n---\n# An image\n")
    assert (read(page).number, read(page).title, read(page).minutes) == ("01", "An image", 30)


@pytest.mark.parametrize(
    ("component", "parts", "fault"),
    [
        ({"version": "sha256:aa"}, ["uvicorn"], None),
        ({"version": "sha256:cc"}, ["uvicorn"], None),
        ({"version": "2.0"}, ["uvicorn"], None),
        ({}, ["uvicorn"], None),
        ({"version": "sha256:bb"}, ["uvicorn"], "the attested bill is of another image, sha256:bb"),
        ({"version": "1.0"}, ["uvicorn"], "the attested bill is of another image, 1.0"),
        ({"version": "2.0"}, ["bash"], "the attested bill does not list the package uvicorn, which is in the image"),
    ],
    ids=["digest", "configuration", "tag", "not named", "other digest", "other tag", "no packages"],
)
def test_a_bill_of_materials_is_of_the_image_that_it_is_attested_for(
    component: dict[str, str], parts: list[str], fault: str | None
) -> None:
    bill = {"metadata": {"component": component}, "components": [{"name": name} for name in parts]}
    assert lab03.fault_of(bill, {"sha256:aa", "sha256:cc"}) == fault
