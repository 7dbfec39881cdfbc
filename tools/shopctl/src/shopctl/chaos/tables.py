"""What `shopctl chaos` prints: the faults of a run, its verdict, and the figures of several runs."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from shopctl.chaos.timeline import Injected, Run
from shopctl.console import cell

__all__ = [
    "COLUMNS",
    "NUMBERS",
    "checked",
    "clock",
    "counted",
    "faults",
    "row",
    "seconds",
    "summary",
    "suspects",
    "verdict",
]

COLUMNS = (
    *("#", "fault", "on", "at", "duration", "outage", "of"),
    *("recovered after", "CONFIRMED after", "failed", "refused"),
)
NUMBERS = {"#", *COLUMNS[3:]} - {"of"}


def faults(run: Run) -> Table:
    """A line for each fault."""
    table = Table()
    for column in COLUMNS:
        table.add_column(column, justify="right" if column in NUMBERS else "left")
    for number, fault in enumerate(run.faults, 1):
        table.add_row(*map(cell, (number, *row(fault))))
    return table


def row(fault: Injected) -> tuple[str, ...]:
    """The cells of a fault after its number."""
    what = (fault.fault, fault.on, clock(fault.at), f"{fault.until - fault.at:.1f} s")
    found = fault.recovery
    if found is None:
        return *what, *["–"] * 6
    after = (seconds(each, found.watched) for each in (found.answering, found.confirming))
    return *what, seconds(found.outage), found.step, *after, str(found.failed), str(found.refused)


def verdict(run: Run) -> str:
    """One line: whether the run has passed, and its figures."""
    longest = run.longest
    outage = ""
    if longest and longest.recovery:
        outage = f", longest outage {longest.recovery.outage:.1f} s ({longest.fault} on {longest.on})"
    count = f"{counted(len(run.faults))}, {run.orders:,} orders"
    wrong = f"lost {checked(run.lost)}, doubled {checked(run.doubled)}"
    return f"{'FAILED' if run.trouble else 'Passed'}: {count}, {wrong}{outage}"


def suspects(run: Run) -> Sequence[Injected]:
    """The faults since the last audit that passed."""
    return run.faults[max((audit.after for audit in run.audits if audit.ok), default=0) :]


def summary(runs: Iterable[Run]) -> str:
    """The figures of several runs as Markdown: by kind of fault, then by seed."""
    runs = sorted(runs, key=lambda run: run.seed)
    kinds: dict[str, list[Injected]] = {}
    for run in runs:
        for each in run.faults:
            kinds.setdefault(each.fault, []).append(each)
    kind = ("fault", "times", "longest outage", "recovered after", "CONFIRMED after", "failed", "refused")
    by_kind = [_kind(name, injected) for name, injected in sorted(kinds.items())]
    seed = ("seed", "faults", "orders", "lost", "doubled", "longest outage", "passed")
    by_seed = [_seed(run) for run in runs]
    columns = ([each[column] for each in by_seed] for column in range(1, 5))
    total = ("all", *(None if None in each else sum(each) for each in columns), "", "")
    return f"{_markdown(kind, by_kind)}\n\n{_markdown(seed, [*by_seed, total])}"


def _kind(name: str, injected: Sequence[Injected]) -> Sequence[object]:
    seen = [(each.on, each.recovery) for each in injected if each.recovery]
    on, worst = max(seen, key=lambda each: each[1].outage, default=("", None))
    outage = f"{worst.outage:.1f} s, on {on}" if worst else "–"
    found = [each for _, each in seen]
    after = (
        _longest((each.answering, each.watched) for each in found),
        _longest((each.confirming, each.watched) for each in found),
    )
    counts = sum(each.failed for each in found), sum(each.refused for each in found)
    return f"`{name}`", len(injected), outage, *after, *counts


def _seed(run: Run) -> Sequence[Any]:
    worst = run.longest
    outage = f"{worst.recovery.outage:.1f} s, {worst.fault} on {worst.on}" if worst and worst.recovery else "–"
    return run.seed, len(run.faults), run.orders, run.lost, run.doubled, outage, "no" if run.trouble else "yes"


def _longest(times: Iterable[tuple[float | None, float]]) -> str:
    """The longest of these times, each with how long it was watched: not seen is longer than seen. `–` if none."""
    ranked = [(value is None, watched if value is None else value) for value, watched in times]
    if not ranked:
        return "–"
    unseen, longest = max(ranked)
    return seconds(None if unseen else longest, longest)


def _markdown(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(checked, line))} |" for line in lines)


def checked(value: object) -> str:
    """The value, or `not checked` for None."""
    return "not checked" if value is None else str(value)


def counted(faults: int) -> str:
    return "1 fault" if faults == 1 else f"{faults} faults"


def clock(at: float) -> str:
    """Minutes and seconds since the begin of the run: `1:05`."""
    return f"{int(at) // 60}:{int(at) % 60:02}"


def seconds(value: float | None, watched: float = 0.0) -> str:
    """`1.3 s`; `> 6.0 s` if it was not seen as long as it was watched."""
    return f"> {watched:.1f} s" if value is None else f"{value:.1f} s"
