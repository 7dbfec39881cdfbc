"""The schedule of a run: which faults, on what, for how long. It depends only on the seed and on what is possible."""

import random
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from shopctl.chaos.fault import Fault, Target
from shopctl.services import STORES

__all__ = ["AUDIT_EVERY", "LEAD_IN", "Planned", "Round", "draw", "parts", "planned"]

LEAD_IN = 7.0
"""Seconds of undisturbed traffic before the first fault, and after each audit: recovery is measured against them."""
QUIET = (4.0, 7.0)
"""Seconds without a fault after each round."""
BEFORE_THE_SECOND = (0.5, 2.0)
"""Seconds from the first fault of a pair to the second one."""
PAIRS = 0.25
"""The share of rounds with two faults at once."""
EFFORT = 2.0
"""Seconds that it takes to inject a fault and to undo it, roughly."""
AUDIT_EVERY = 5
"""The number of faults after which the traffic pauses for an audit."""


@dataclass(frozen=True)
class Planned:
    """A fault that is to be in effect for `seconds`."""

    fault: str
    on: str
    seconds: float


@dataclass(frozen=True)
class Round:
    """One fault, or two at once: the second begins `apart` seconds after the first and ends before it."""

    faults: tuple[Planned, ...]
    apart: float
    quiet: float

    @property
    def seconds(self) -> float:
        """About how long it takes."""
        first, *second = self.faults
        held = max(first.seconds, *(self.apart + each.seconds + EFFORT for each in second), 0.0)
        return held + EFFORT + self.quiet


def planned(shop: Target, faults: Sequence[Fault], seed: int, seconds: float) -> list[Round]:
    """The rounds for a run on this shop that takes about `seconds`; at least one."""
    possible = {each.name: (each.on(shop), each.seconds) for each in faults}
    return draw(possible, shop.names, seed, seconds)


def draw(
    possible: Mapping[str, tuple[Sequence[str], tuple[float, float]]],
    names: Collection[str],
    seed: int,
    seconds: float,
) -> list[Round]:
    """The same, from what each fault can be injected on, and for how many seconds. `names` are those of the shop."""
    choice = random.Random(seed)  # noqa: S311 - it is to be repeatable
    deck = _deck(choice, sorted(possible))
    rounds: list[Round] = []
    left = seconds - LEAD_IN
    while True:
        faults = [_fault(choice, next(deck), possible)]
        if choice.random() < PAIRS:
            second = _fault(choice, choice.choice(sorted(possible)), possible)
            if not touched(faults[0].on, names) & touched(second.on, names):
                faults = sorted([*faults, second], key=_rank)
        drawn = Round(tuple(faults), _uniform(choice, *BEFORE_THE_SECOND), _uniform(choice, *QUIET))
        if rounds and drawn.seconds / 2 > left:
            return rounds
        rounds.append(drawn)
        left -= drawn.seconds


def parts(rounds: Sequence[Round]) -> list[list[Round]]:
    """The rounds between two audits."""
    found: list[list[Round]] = [[]]
    for each in rounds:
        if sum(len(earlier.faults) for earlier in found[-1]) >= AUDIT_EVERY:
            found.append([])
        found[-1].append(each)
    return found


def touched(on: str, names: Collection[str]) -> set[str]:
    """The services and stores that a fault's `on` names, such as both ends of a link."""
    return {name for name in names if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", on)} or {on}


def _rank(each: Planned) -> int:
    """Stores fail last and come back first, then the edge: what a service needs to start again is there by then."""
    return 2 if each.on in STORES else 1 if each.on == "edge" else 0


def _deck(choice: random.Random, names: list[str]) -> Iterator[str]:
    """Each name once in random order, then again in another order."""
    while True:
        yield from choice.sample(names, len(names))


def _fault(
    choice: random.Random, name: str, possible: Mapping[str, tuple[Sequence[str], tuple[float, float]]]
) -> Planned:
    on, (shortest, longest) = possible[name]
    return Planned(name, choice.choice(sorted(on)), _uniform(choice, shortest, longest))


def _uniform(choice: random.Random, lowest: float, highest: float) -> float:
    return round(choice.uniform(lowest, highest), 1)
