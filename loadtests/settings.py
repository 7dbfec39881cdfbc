"""The settings of a run, from the environment; they are also the defaults of Locust's options and of its page."""

import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from locust.util.timespan import parse_timespan

from personas import NAMES, Shopper
from shapes import SHAPES, Shape

__all__ = ["WrongUsage", "defaults", "personas", "shapes"]

STOP = 10
"""Seconds that visits may last after the end of a run."""


class WrongUsage(SystemExit):
    """Ends the process with status 2, and says why."""

    def __init__(self, message: str) -> None:
        super().__init__(2)
        print(message, file=sys.stderr)


def shapes() -> dict[str, type[Shape]]:
    """The shape that SHAPE names; without it all, so that Locust's page can offer them."""
    name = os.environ.get("SHAPE") or ""
    if name and name not in SHAPES:
        raise WrongUsage(f"SHAPE is {name!r}. There are {', '.join(SHAPES)}.")
    return {name: SHAPES[name]} if name else SHAPES


def personas() -> dict[str, type[Shopper]]:
    """The personas that PERSONAS names, with their weights; without it those of the shape, or all."""
    chosen = {}
    for each in (os.environ.get("PERSONAS") or _usual()).split(","):
        name, _, weight = each.strip().partition(":")
        if name not in NAMES:
            raise WrongUsage(f"PERSONAS: there is no {name!r}. There are {', '.join(NAMES)}.")
        if weight and not weight.isdecimal():
            raise WrongUsage(f"PERSONAS: {each!r} must be like {name}:3.")
        chosen[name] = NAMES[name]
        chosen[name].host = os.environ.get("LOCUST_HOST") or chosen[name].host
        if weight:
            chosen[name].weight = int(weight)
    return chosen


def defaults(parser: ArgumentParser, **_: Any) -> None:
    """Sets the defaults of Locust's options."""
    shape = next(iter(shapes().values()))
    folder = os.environ.get("LOAD_RUN")
    _number("SEED", least=0)
    parser.set_defaults(
        num_users=_number("USERS", least=1) or shape.users,
        run_time=_seconds() or shape.seconds,
        stop_timeout=STOP,
        html_file=str(Path(folder) / "report.html") if folder else None,
        only_summary=True,
        loglevel="WARNING",
    )


def _usual() -> str:
    chosen = list(shapes().values())
    mix = chosen[0].mix if len(chosen) == 1 else {}
    return ",".join(f"{name}:{weight}" for name, weight in mix.items()) or ",".join(NAMES)


def _number(name: str, least: int) -> int | None:
    text = os.environ.get(name) or ""
    if text and not (text.isdecimal() and int(text) >= least):
        raise WrongUsage(f"{name} is {text!r}; it must be a whole number from {least} on.")
    return int(text) if text else None


def _seconds() -> int | None:
    text = os.environ.get("TIME") or ""
    try:
        return parse_timespan(text) if text else None
    except ValueError:
        raise WrongUsage(f"TIME is {text!r}; it must be like 90s or 2m.") from None
