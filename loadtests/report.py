"""Tells people about a run in plain text: a line while it goes on, and tables at its end."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["line", "tables"]


def line(now: Mapping[str, float]) -> str:
    """One line of progress."""
    return (
        f"{now['at']:5.0f} s  {now['shoppers']:6,.0f} shoppers  {now['requests']:7,.0f} requests/s"
        f"  {now['orders']:6,.1f} orders/s  p95 {now['p95']:6,.0f} ms"
        f"  refused {now['refused']:5,.0f}  failed {now['failed']:5,.0f}"
    )


def tables(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yields the lines of the report: steps, refusals and failures, the sale, and what Locust itself used."""
    yield f"{'step':<22}{'requests':>10}{'per s':>9}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'max ms':>9}"
    for name, step in summary["steps"].items():
        times = "".join(f"{step[each]:>9,.0f}" for each in ("p50", "p95", "p99", "max"))
        yield f"{name:<22}{step['requests']:>10,}{step['per_second']:>9,.1f}{times}"
    for what in ("refused", "failed"):
        yield from _counts(what, [(name, step[what]) for name, step in summary["steps"].items()])
    if sale := summary.get("sale"):
        yield ""
        outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(sale["outcomes"].items()))
        yield f"sale: {sale['sold']:,} of {sale['stock']:,} units sold; {sale['shoppers']:,} shoppers: {outcomes}"
        yield (
            f"      p95 of reads while buyers were refused {sale['refused_reads_p95']:,.0f} ms;"
            f" the shop recovered {sale['recovery']:.0f} s after the last hunter"
        )
    used = summary["locust"]
    yield ""
    yield (
        f"Locust: {used['processes']} process{'es' if used['processes'] > 1 else ''},"
        f" {used['cpu_ms_per_request']:.2f} ms of CPU time per request, at most {used['memory'] / 1e6:,.0f} MB each"
    )


def _counts(what: str, steps: Sequence[tuple[str, Mapping[str, int]]]) -> Iterator[str]:
    rows = Counter({(slug, name): count for name, found in steps for slug, count in found.items()})
    if rows:
        yield ""
    for (slug, name), count in rows.most_common():
        yield f"{what}: {count:>8,}  {slug} ({name})"
