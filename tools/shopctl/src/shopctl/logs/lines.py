"""Selects lines of logs by what they contain, sorts them by time, and formats them for a person."""

import json
import re
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

from shopctl.colors import BAD, NOTE, WARN, color_of
from shopctl.console import printable

__all__ = ["Line", "select", "show"]

MOST = 10_000
"""The last lines that are kept; one order has a few."""
TIME = re.compile(r'(?:\{"time": ")?(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d{1,3})?)')
LEVELS = {"warning": WARN, "error": BAD, "critical": BAD}
SHOWN = {"time", "level", "logger", "message", "exception"}


@dataclass(frozen=True)
class Line:
    """One line of a process; `time` (UTC) is that of the line before, if it has none itself."""

    process: str
    time: str
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)


def select(written: Iterable[tuple[str, str]], needles: Sequence[str]) -> list[Line]:
    """Returns the lines with one of `needles`, sorted by time. `written` gives processes and their lines, in order."""
    found: deque[Line] = deque(maxlen=MOST)
    times: dict[str, str] = {}
    for process, text in written:
        if at := TIME.match(text):
            times[process] = f"{at[1]} {at[2]}"
        if any(needle in text for needle in needles):
            found.append(Line(process, times.get(process, ""), text, _fields(text)))
    return sorted(found, key=lambda line: line.time or "~")


def _fields(text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def show(line: Line, hide: Collection[object]) -> Text:
    """The line as text: time, process, level, message, further fields, and below them the stack of an exception.

    Fields with a value of `hide`, such as the order's ID in each line, are left out.
    """
    level = str(line.fields.get("level", ""))
    text = Text()
    text.append(f"{line.time or '-':<23} ", NOTE)
    text.append(f"{printable(line.process):<11} ", color_of(line.process.partition("-")[0]))
    if not line.fields:
        return text.append(printable(line.text))
    text.append(f"{level:<7} ", LEVELS.get(level, ""))
    text.append(printable(str(line.fields.get("message", ""))), LEVELS.get(level, ""))
    more = [f"{name}={value}" for name, value in line.fields.items() if name not in SHOWN and value not in hide]
    if more:
        text.append("  " + printable(" ".join(more)), NOTE)
    for below in str(line.fields.get("exception", "")).splitlines():
        text.append("\n    " + printable(below), NOTE)
    return text
