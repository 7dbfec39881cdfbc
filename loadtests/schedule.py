"""When visitors arrive: waves of Poisson arrivals, which are the same in each run with one seed."""

import heapq
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter

__all__ = ["Arrival", "Wave", "arrivals"]


@dataclass(frozen=True, slots=True)
class Wave:
    """`visits` arrivals within `seconds`, from `begin` on. `mix` holds the weight of each persona by name.

    It is a Poisson process of which the number of arrivals is known.
    """

    begin: float
    seconds: float
    visits: int
    mix: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A visit that begins `at` seconds after the start of the run. No other visit of the run has this number."""

    at: float
    number: int
    persona: str


def arrivals(waves: Sequence[Wave], seed: int, worker: int = 0, workers: int = 1) -> Iterator[Arrival]:
    """Yields the arrivals of all waves in order; each of several workers takes every n-th."""
    streams = (_wave(wave, random.Random(f"{seed}:wave:{index}")) for index, wave in enumerate(waves))  # noqa: S311
    merged = heapq.merge(*streams, key=itemgetter(0))
    for number, (at, persona) in islice(enumerate(merged), worker, None, workers):
        yield Arrival(at, number, persona)


def _wave(wave: Wave, choice: random.Random) -> Iterator[tuple[float, str]]:
    """Yields sorted, uniformly distributed times, one at a time: each is the smallest of those that remain."""
    names, weights = list(wave.mix), list(wave.mix.values())
    share = 0.0
    for remaining in range(wave.visits, 0, -1):
        share = 1 - (1 - share) * (1 - choice.random()) ** (1 / remaining)
        yield wave.begin + share * wave.seconds, choice.choices(names, weights)[0]
