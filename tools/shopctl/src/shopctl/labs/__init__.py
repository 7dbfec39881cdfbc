"""What grades a lab: questions with their answers, and checks that look at what the learner has achieved."""

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Check", "Lab", "Missing", "Question", "Start"]


class Missing(Exception):
    """What was looked for is not there. The message tells what was found instead."""


@dataclass(frozen=True)
class Question:
    """A question of the page's section "Predict". An answer is one word, compared without regard to case."""

    answers: tuple[str, ...]
    hint: str


@dataclass(frozen=True)
class Check:
    """Looks at one thing that the learner was to achieve. `look` returns if it is there, and raises Missing if not."""

    wanted: str
    points: int
    hint: str
    look: Callable[[], None]


@dataclass(frozen=True)
class Start:
    """What must be there before the lab. `remedy` is the command that brings it about."""

    wanted: str
    remedy: str
    look: Callable[[], None]


@dataclass
class Lab:
    """The grader of the lab whose page starts with the same number."""

    starts: list[Start] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    def start(self, wanted: str, *, remedy: str, look: Callable[[], None]) -> None:
        self.starts.append(Start(wanted, remedy, look))

    def question(self, *answers: str, hint: str) -> None:
        """Add the next question of the page, with all answers that are right."""
        self.questions.append(Question(answers, hint))

    def check(self, wanted: str, *, points: int, hint: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
        """Make the decorated function a check of this lab."""

        def add(look: Callable[[], None]) -> Callable[[], None]:
            self.checks.append(Check(wanted, points, hint, look))
            return look

        return add
