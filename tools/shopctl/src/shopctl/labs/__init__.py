"""What grades a lab: questions with their answers, and checks that look at what the learner has achieved."""

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Check", "Lab", "Look", "Missing", "Question", "Start"]


class Missing(Exception):
    """What was looked for is not there. The message tells what was found instead."""


Look = Callable[[], None]
"""Returns if what it looks for is there, and raises Missing if not."""


@dataclass(frozen=True)
class Question:
    """A question of the page's section "Predict". An answer is one word, compared without regard to case."""

    answers: tuple[str, ...]
    hint: str


@dataclass(frozen=True)
class Check:
    """Looks at one thing that the learner was to achieve, once the check with the look `after` has passed."""

    wanted: str
    points: int
    hint: str
    look: Look
    after: Look | None


@dataclass(frozen=True)
class Start:
    """What must be there before the lab. `remedy` is the command that brings it about."""

    wanted: str
    remedy: str
    look: Look


@dataclass
class Lab:
    """The grader of the lab whose page starts with the same number."""

    starts: list[Start] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    def start(self, wanted: str, *, remedy: str, look: Look) -> None:
        self.starts.append(Start(wanted, remedy, look))

    def question(self, *answers: str, hint: str) -> None:
        """Add the next question of the page, with all answers that are right."""
        self.questions.append(Question(answers, hint))

    def check(self, wanted: str, *, points: int, hint: str, after: Look | None = None) -> Callable[[Look], Look]:
        """Make the decorated function a check of this lab, which follows the check whose function is `after`."""

        def add(look: Look) -> Look:
            self.checks.append(Check(wanted, points, hint, look, after))
            return look

        return add
