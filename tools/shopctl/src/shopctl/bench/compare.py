"""Measures the shop of another commit and that of this clone in turn, and compares them.

Two measurements of the same code differ by a tenth and more, because of what else the machine does. Rounds that measure
both one after the other make their ratio meaningful, and the range of the ratios tells how certain it is.
"""

import asyncio
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.table import Table

from chassis.local.processes import StartError, output
from shopctl.bench.figures import Figure, number
from shopctl.bench.run import Extent, run
from shopctl.console import cell
from shopctl.native.shop import NativeShop
from shopctl.place import Place

__all__ = ["Comparison", "compare", "comparisons", "exported", "started", "table"]

OFFSETS = {"base": 1000, "this": 2000, "scale": 3000}
"""What is added to the ports of each shop."""
SET_UP_SECONDS = 900.0
UP_SECONDS = 300.0


@dataclass(frozen=True)
class Comparison:
    """A figure of both shops, with a value for each round."""

    section: str
    name: str
    unit: str
    base: Sequence[float]
    this: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        """How many times the base's value this one is; empty if the base's is 0 in a round."""
        return [this / base for this, base in zip(self.this, self.base, strict=True)] if all(self.base) else []


def compare(
    commit: str, only: Collection[str], extent: Extent, rounds: int, report: Callable[[str], None]
) -> list[Comparison]:
    """Start both shops natively, with data of their own, and measure them in turn. Afterwards their data is removed.

    Raises StartError or one of `run.FAILURES`.
    """
    here = Place.here()
    report(f"the shop of {commit}: installing")
    roots = {"base": exported(here, commit), "this": here.root}
    found: dict[str, list[list[Figure]]] = {name: [] for name in roots}
    with started("base", roots["base"], here) as base, started("this", roots["this"], here) as this:
        turns = [("base", base), ("this", this)]
        for turn in range(rounds):
            for name, shop in turns if turn % 2 == 0 else reversed(turns):
                report(f"{name}, round {turn + 1} of {rounds}")
                found[name].append(asyncio.run(run(shop, only, extent, lambda section: None)))
    return comparisons(found["base"], found["this"])


def exported(place: Place, commit: str) -> Path:
    """Return a directory with that commit and its own virtual environment, made when it is first needed.

    Raises StartError.
    """
    git = ("git", "-C", str(place.root))
    try:
        sha = output(*git, "rev-parse", "--verify", "--end-of-options", f"{commit}^{{commit}}", timeout=10).strip()
    except StartError:
        raise StartError(f"{commit} is not a commit of this clone.") from None
    root = place.run / "bench" / sha[:12]
    if not root.exists():
        fresh = root.with_suffix(".new")
        fresh.mkdir(parents=True, exist_ok=True)
        files = root.with_suffix(".tar")
        output(*git, "archive", "--output", str(files), sha)
        output("tar", "--extract", "--file", str(files), "--directory", str(fresh))
        files.unlink()
        fresh.rename(root)
    output("make", "setup", cwd=root, env=_environment(), timeout=SET_UP_SECONDS)
    return root


@contextmanager
def started(name: str, root: Path, here: Place) -> Iterator[NativeShop]:
    """Run a shop of its own, which limits no requests, inside the block. Afterwards its data is removed."""
    place = Place(root, here.run / "bench" / name, here.offset + OFFSETS[name])
    settings = {"SHOP_RUN": str(place.run), "SHOP_PORT_OFFSET": str(place.offset), "RATE_LIMIT": "off"}

    def shopctl(*arguments: str) -> None:
        program = str(root / ".venv" / "bin" / "shopctl")
        output(program, *arguments, cwd=root, env=_environment() | settings, timeout=UP_SECONDS)

    shopctl("reset", "--yes")  # what an interrupted measurement left
    try:
        shopctl("up")
        yield NativeShop(place)
    finally:
        shopctl("reset", "--yes")


def _environment() -> dict[str, str]:
    """Return our environment without what `make` and a virtual environment add to it."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "VIRTUAL_ENV"))}
    return ours | {"RUNTIME": "native"}


def comparisons(base: Sequence[Sequence[Figure]], this: Sequence[Sequence[Figure]]) -> list[Comparison]:
    """Return each figure of both sides, which have a list of figures for each round. What a round lacks counts as 0.

    Figures that are always 0 are left out.
    """
    first = {(each.section, each.name): each for figures in (*this, *base) for each in figures}

    def values(side: Sequence[Sequence[Figure]], key: tuple[str, str]) -> list[float]:
        return [{(each.section, each.name): each.value for each in figures}.get(key, 0.0) for figures in side]

    sections = list(dict.fromkeys(section for section, _ in first))
    ordered = sorted(first, key=lambda key: sections.index(key[0]))
    found = [Comparison(*key, first[key].unit, values(base, key), values(this, key)) for key in ordered]
    return [each for each in found if any((*each.base, *each.this))]


def table(found: Sequence[Comparison], commit: str) -> Table:
    """Return medians, with the lowest and the highest value."""
    result = Table(box=None, pad_edge=False)
    result.add_column("")
    result.add_column("median [lowest–highest]")
    for heading in (cell(commit), "this", "ratio"):
        result.add_column(heading, justify="right")
    result.add_column("unit")
    section = ""
    for each in found:
        first, section = (each.section if each.section != section else ""), each.section
        cells = [_range(values) for values in (each.base, each.this, each.ratios)]
        result.add_row(f"[bold]{first}[/bold]", each.name, *cells, each.unit)
    return result


def _range(values: Sequence[float]) -> str:
    if not values:
        return ""
    low, middle, high = (number(value) for value in (min(values), median(values), max(values)))
    return f"{middle} \\[{low}–{high}]"
