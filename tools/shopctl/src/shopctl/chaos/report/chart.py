"""Draws the time line of a run as SVG, whose colors are variables of the page's style sheet."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from shopctl.chaos.tables import clock
from shopctl.chaos.timeline import Injected, Run

__all__ = ["NARROW", "WIDE", "Format", "draw", "lanes"]

NAMES = ("ink", "grid", "band", "bar", "pause", "green", "orange", "red", "blue", "purple")
COLORS = {name: f"#0000{number:02x}" for number, name in enumerate(NAMES, 1)}
"""A color of its own for each variable of the style sheet, by which it is replaced."""
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: small, sharp, and in the page's font
    "text.parse_math": False,
    "font.size": 9,
    "text.color": COLORS["ink"],
    "axes.edgecolor": COLORS["grid"],
    "axes.labelcolor": COLORS["ink"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "xtick.color": COLORS["ink"],
    "ytick.color": COLORS["ink"],
    "grid.color": COLORS["grid"],
    "legend.frameon": False,
    "lines.linewidth": 1.4,
}
CHARACTER = 0.075
"""The width of a character of a label, in inches."""


@dataclass(frozen=True)
class Format:
    """The size of a time line in inches, and whether its bands have the names of faults or only their numbers."""

    name: str
    width: float
    height: float
    names: bool


WIDE, NARROW = Format("wide", 11.0, 7.2, names=True), Format("narrow", 4.6, 8.0, names=False)


def draw(run: Run, form: Format) -> str:
    """Returns an `svg` element without a text alternative, which the page gives it."""
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": form.name}):
        figure = Figure(figsize=(form.width, form.height), layout="constrained")
        labels = [f"{number} {each.fault} {each.on}" for number, each in enumerate(run.faults, 1)]
        if not form.names:
            labels = [label.partition(" ")[0] for label in labels]
        per_inch = run.length / (form.width - 0.8)
        lane = lanes(run.faults, [len(label) * CHARACTER * per_inch for label in labels], run.length)
        height = 0.35 + 0.19 * (max(lane, default=0) + 1)
        top, *axes = figure.subplots(5, 1, sharex=True, height_ratios=[height, 1.4, 1, 1.4, 1])
        _faults(top, run, labels, lane, per_inch)
        for each in axes:
            _bands(each, run)
        _curves(axes, run)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    return _for_a_page(written.getvalue(), form)


def lanes(faults: Sequence[Injected], widths: Sequence[float], length: float) -> list[int]:
    """The lane of each fault: the first where neither bars nor labels overlap. `widths` are the labels', in seconds."""
    ends: list[float] = []
    found = []
    for fault, width in zip(faults, widths, strict=True):
        begin = min(fault.at, length - width)
        lane = next((number for number, end in enumerate(ends) if end <= begin), len(ends))
        ends[lane:] = [max(fault.until, begin + width), *ends[lane + 1 :]]
        found.append(lane)
    return found


def _faults(axes: Axes, run: Run, labels: Sequence[str], lane: Sequence[int], per_inch: float) -> None:
    axes.set_title("Faults")
    axes.set_xlim(0, run.length)
    axes.set_ylim(max(lane, default=0) + 1, -0.1)
    axes.set_axis_off()
    for fault, label, row in zip(run.faults, labels, lane, strict=True):
        axes.barh(row + 0.85, fault.until - fault.at, left=fault.at, height=0.22, color=COLORS["bar"])
        begin = min(fault.at, run.length - len(label) * CHARACTER * per_inch)
        axes.text(begin, row + 0.65, label, fontsize=8)


def _bands(axes: Axes, run: Run) -> None:
    for fault in run.faults:
        axes.axvspan(fault.at, fault.until, color=COLORS["band"], linewidth=0)
    for audit in run.audits:
        axes.axvspan(audit.at, audit.until, color=COLORS["pause"], linewidth=0)


def _curves(axes: Sequence[Axes], run: Run) -> None:
    at = [each.at + run.width / 2 for each in run.intervals]
    nan = float("nan")
    answers, trouble, latency, orders = axes
    answers.set_title("Good answers a second")
    good = [each.ok / run.width for each in run.intervals]
    answers.fill_between(at, good, color=COLORS["green"], alpha=0.25, linewidth=0)
    answers.plot(at, good, color=COLORS["green"])
    trouble.set_title("Failed and refused a second")
    trouble.plot(at, [each.failed / run.width for each in run.intervals], color=COLORS["red"], label="failed")
    refused = [each.refused / run.width for each in run.intervals]
    trouble.plot(at, refused, color=COLORS["orange"], linestyle="--", label="refused")
    trouble.set_ylim(0, max([1.0, *trouble.get_ylim()]))
    latency.set_title("Time to a good answer")
    p95 = [nan if each.p95 is None else each.p95 for each in run.intervals]
    latency.plot(at, p95, color=COLORS["purple"], linestyle="--", label="p95")
    p50 = [nan if each.p50 is None else each.p50 for each in run.intervals]
    latency.plot(at, p50, color=COLORS["blue"], label="p50")
    latency.set_yscale("log")
    latency.yaxis.set_major_locator(LogLocator(10))
    latency.yaxis.set_major_formatter(FuncFormatter(lambda ms, _: f"{ms / 1000:g} s" if ms >= 1000 else f"{ms:g} ms"))
    latency.yaxis.set_minor_formatter(NullFormatter())
    orders.set_title("Orders CONFIRMED a second")
    orders.plot(at, [each.confirmed / run.width for each in run.intervals], color=COLORS["blue"])
    for each in (trouble, latency):
        each.legend(loc="lower right", bbox_to_anchor=(1, 0.96), ncols=2, borderaxespad=0)
    for each in axes:
        each.grid(axis="y", linewidth=0.6)
        each.tick_params(length=0)
        if each is not latency:
            each.set_ylim(bottom=0)
            each.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    orders.xaxis.set_major_formatter(FuncFormatter(lambda at, _: clock(at)))
    orders.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 1.5, 3, 6, 10]))
    orders.set_xlabel("minutes:seconds since the begin of the run")


def _for_a_page(svg: str, form: Format) -> str:
    """The `svg` element with CSS variables for colors, and with only those IDs that it uses, under names of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    used = set(re.findall(r"#([\w.-]+)\)|href=\"#([\w.-]+)\"", svg))
    names = {name for pair in used for name in pair if name}
    svg = re.sub(r' id="([\w.-]+)"', lambda found: f' id="{form.name}-{found[1]}"' if found[1] in names else "", svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{form.name}-", svg)
    for name, color in COLORS.items():
        svg = svg.replace(color, f"var(--{name})")
    return re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
