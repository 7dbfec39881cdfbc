"""Grades a lab: what was achieved, what is missing, and a hint for it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

import msgspec

from shopctl.labs import Lab, Look, Missing


@dataclass(frozen=True)
class Mark:
    """The points for one question or check; if they are missing, what was found, and a hint to what was looked at."""

    wanted: str
    points: int
    of: int
    found: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Grade:
    """The marks of a lab."""

    lab: str
    marks: Sequence[Mark]

    @property
    def points(self) -> int:
        return sum(mark.points for mark in self.marks)

    @property
    def of(self) -> int:
        return sum(mark.of for mark in self.marks)

    def as_json(self) -> str:
        whole = {"lab": self.lab, "points": self.points, "of": self.of, "marks": [asdict(mark) for mark in self.marks]}
        return json.dumps(whole, indent=2)


def grader(number: str) -> Lab:
    lab: Lab = import_module(f"shopctl.labs.graders.lab{number}").lab
    return lab


def unmet(lab: Lab) -> list[tuple[str, str, str]]:
    """Return what must be there before the lab and is not: what is wanted, what was found, and the remedy."""
    found = []
    for start in lab.starts:
        try:
            start.look()
        except Missing as missing:
            found.append((start.wanted, str(missing), start.remedy))
    return found


def grade(number: str, lab: Lab, answers: Sequence[str]) -> Grade:
    """Look at the learner's answers and at what was achieved."""
    marks = []
    for n, question in enumerate(lab.questions):
        given = answers[n] if n < len(answers) else ""
        right = given.lower() in {answer.lower() for answer in question.answers}
        found = "" if right else f"the answer {given} is not right" if given else "there is no answer"
        marks.append(Mark(f"question {n + 1}", int(right), 1, found, "" if right else question.hint))
    missed: dict[Look | None, str] = {}
    for check in lab.checks:
        if check.after in missed:
            first = missed[check.look] = missed[check.after]
            marks.append(Mark(check.wanted, 0, check.points, f"this is looked at after: {first}"))
            continue
        try:
            check.look()
        except Missing as missing:
            missed[check.look] = check.wanted
            marks.append(Mark(check.wanted, 0, check.points, str(missing), check.hint))
        else:
            marks.append(Mark(check.wanted, check.points, check.points))
    return Grade(number, marks)


class _Answers(msgspec.Struct):
    answers: list[str]


_ANSWERS = msgspec.json.Decoder(_Answers)


def _file(run: Path, number: str) -> Path:
    return run / "labs" / f"{number}.json"


def keep(run: Path, number: str, answers: Sequence[str]) -> None:
    path = _file(run, number)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(_Answers(list(answers))))


def kept(run: Path, number: str) -> list[str]:
    """Return the answers that the learner has given so far; none if the file is damaged."""
    try:
        return _ANSWERS.decode(_file(run, number).read_bytes()).answers
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return []
