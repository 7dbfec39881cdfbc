"""Measured numbers and their table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.table import Table

__all__ = ["Figure", "number", "percentile", "table"]


@dataclass(frozen=True)
class Figure:
    """One measured number. `aim` is its target as text."""

    section: str
    name: str
    value: float
    unit: str
    aim: str = ""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the values does not exceed (nearest rank); 0 without values."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] if ordered else 0.0


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"


def table(figures: Iterable[Figure]) -> Table:
    result = Table(box=None, pad_edge=False)
    for heading in ("", "figure"):
        result.add_column(heading)
    result.add_column("measured", justify="right")
    for heading in ("unit", "aim"):
        result.add_column(heading)
    section = ""
    for figure in figures:
        first = figure.section if figure.section != section else ""
        section = figure.section
        result.add_row(f"[bold]{first}[/bold]", figure.name, number(figure.value), figure.unit, figure.aim)
    return result
