"""Draws the steps of an order: a tree of names, and beside it offsets, durations, and a bar on a common scale."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from shopctl.colors import BAD, NOTE, WAIT, color_of
from shopctl.units import seconds

__all__ = ["NOTABLE", "Step", "draw"]

NOTABLE = 0.05
"""Seconds in the outbox that are worth a line; the bar has dots for shorter ones too."""

LEAST_BAR, MOST_BAR = 10, 60
TIMES = 20
"""Columns for offset and duration."""


@dataclass(frozen=True)
class Step:
    """One step: times are seconds since 1970. It waited from `waited_since` to `start`, and `error` says why it failed.

    A step whose `end` is its `start` is a moment, such as a change of status.
    """

    service: str
    name: str
    start: float
    end: float
    waited_since: float | None = None
    error: str | None = None
    note: str = ""
    children: Sequence["Step"] = ()

    @property
    def begin(self) -> float:
        return self.start if self.waited_since is None else min(self.waited_since, self.start)


def draw(console: Console, steps: Sequence[Step]) -> None:
    """Prints steps and all that is below them."""
    rows = list(_rows(steps))
    begin, end = min(step.begin for _, step in rows), max(step.end for _, step in rows)
    widest = max(len(guide) + len(step.service) + 1 + len(step.name) for guide, step in rows)
    width = console.width if console.is_terminal else max(console.width, widest + TIMES + 1 + LEAST_BAR)
    label = min(widest, width - TIMES - 1 - LEAST_BAR)
    bar = min(MOST_BAR, width - label - TIMES - 1)
    for guide, step in rows:
        line = Text(no_wrap=True, overflow="crop")
        line.append(guide, NOTE).append(step.service, color_of(step.service)).append(" ")
        line.append(step.name, BAD if step.error else "")
        line.truncate(label, overflow="ellipsis", pad=True)
        duration = "" if step.end == step.start else seconds(step.end - step.start)
        line.append(f" {'+' + seconds(step.begin - begin):>9} {duration:>9} ", NOTE)
        line.append_text(_bar(step, begin, max(end - begin, 1e-6), bar))
        console.print(line, soft_wrap=True)
        for note in filter(None, dict.fromkeys((step.error, step.note))):
            below = Text(_continued(guide) + ("│ " if step.children else "  "), NOTE)
            below.append(note, BAD if note is step.error else NOTE)
            console.print(below, soft_wrap=True)


def _rows(steps: Sequence[Step], above: str = "", *, root: bool = True) -> Iterator[tuple[str, Step]]:
    """Yields each step with the lines of the tree on its left; a root that is alone needs none."""
    lines = not root or len(steps) > 1
    for step in steps:
        last = step is steps[-1]
        yield (above + ("└ " if last else "├ ") if lines else ""), step
        yield from _rows(step.children, above + ("  " if last else "│ ") if lines else "", root=False)


def _continued(guide: str) -> str:
    return guide.replace("├", "│").replace("└", " ")


def _bar(step: Step, begin: float, total: float, width: int) -> Text:
    """The step on the scale of the whole order: dots while it waits, a bar while it works, a diamond for a moment."""

    def column(at: float) -> int:
        return min(width - 1, int((at - begin) / total * width))

    first, start, end = column(step.begin), column(step.start), column(step.end)
    bar = Text(" " * first)
    bar.append("·" * (start - first), WAIT)
    style = BAD if step.error else color_of(step.service)
    bar.append("◆" if step.end == step.start else "━" * (end - start + 1), style)
    return bar
