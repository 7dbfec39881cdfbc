"""The page of a report: HTML with its style sheet and time line inside, which loads nothing."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from shopctl.chaos import tables
from shopctl.chaos.report.chart import NARROW, WIDE, draw
from shopctl.chaos.timeline import Run

__all__ = ["page", "write"]

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
ROWS = 40
"""The most rows of the table that has the figures of the time line."""
TERMS = {
    "Outage": "The longest time in which at least one shopper waited for a step, such as the cart or an order, and"
    " nobody got a good answer to it. The figure is that of the step with the longest outage, named beside it.",
    "Recovered after": "Seconds from the end of the fault until answers were as before: in the three seconds that"
    " follow, at least 95 % of the answers were good and took no longer than three times the usual time of their step"
    " plus 100 ms. A fault ends when it is undone, such as when a killed process is ready again; two faults at once end"
    " when both are undone. “> 5 s” means that it was not seen in the 5 s before the next fault or audit.",
    "CONFIRMED after": "Seconds from the end of the fault until the next order was paid and confirmed.",
    "Failed": "Requests without a clear answer. A shopper tries again, with the same idempotency key.",
    "Refused": "Requests that the shop could not serve, and said so at once: come again in some seconds.",
    "Lost": "Orders that a shopper was told were accepted, and that do not exist.",
    "Doubled": "Orders that exist twice or were paid twice, although the shopper ordered once.",
}


def write(run: Run, folder: Path) -> Path:
    """Writes the report into the folder of the run, and returns its file."""
    file = folder / "index.html"
    file.write_text(page(run), encoding="utf-8")
    return file


def page(run: Run) -> str:
    """The whole page."""
    title = f"Chaos run, seed {run.seed}: {'failed' if run.trouble else 'passed'}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{Path(__file__).with_name("page.css").read_text(encoding="utf-8")}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="muted">{run.started}, {_minutes(run.length)}, {escape(run.runtime)}, {run.users:,} simulated shoppers</p>
</header>
<main>
{_verdict(run)}
{_figures(run)}
<h2 id="time-line">Time line</h2>
<p>Faults are the colored bands, and the gray ones are audits, during which no shopper visits the shop. The numbers are
those of the table below.</p>
<figure role="img" aria-label="{escape(_described(run))}">
<div class="wide" aria-hidden="true">{draw(run, WIDE)}</div>
<div class="narrow" aria-hidden="true">{draw(run, NARROW)}</div>
</figure>
{_intervals(run)}
<h2 id="faults">Faults</h2>
{_faults(run)}
<h2 id="invariants">Invariants</h2>
<p>After each five faults and at the end, the audit reads the databases, the provider's ledger and the queues, and
compares them with what each shopper was told.</p>
{_invariants(run)}
<h2 id="repeat">Repeat it</h2>
<p>On the same version and the same kind of machine, this command injects the same faults in the same order:</p>
<pre><code>{escape(run.command)}</code></pre>
{_table("Versions", ("what", "version"), run.versions.items())}
<h2 id="terms">How the figures are defined</h2>
<dl class="terms">
{"".join(f"<dt>{term}</dt><dd>{escape(text)}</dd>" for term, text in TERMS.items())}
</dl>
</main>
</body>
</html>
"""


def _verdict(run: Run) -> str:
    if run.trouble:
        items = "".join(f"<li>{escape(each)}</li>" for each in run.trouble)
        before = ", ".join(f"{each.fault} on {each.on}" for each in tables.suspects(run))
        since = f"<p>Since the last audit that passed: {escape(before)}.</p>" if before else ""
        return f"""<section class="verdict failed" aria-label="Verdict"><p><strong>The run failed.</strong></p>
<ul>{items}</ul>{since}</section>"""
    return f"""<section class="verdict" aria-label="Verdict"><p><strong>Nothing was lost, nothing was doubled.</strong>
While shoppers ordered, {tables.counted(len(run.faults))} disturbed the shop. Each of the {run.orders:,} accepted orders
exists once, was paid at most once, and took its units from stock at most once.</p></section>"""


def _figures(run: Run) -> str:
    longest = f"{run.longest.recovery.outage:.1f} s" if run.longest and run.longest.recovery else "–"
    requests = sum(each.ok + each.refused + each.failed for each in run.intervals)
    failed = sum(each.failed for each in run.intervals)
    figures = {
        "faults": f"{len(run.faults)}",
        "orders accepted": f"{run.orders:,}",
        "orders lost": tables.checked(run.lost),
        "orders doubled": tables.checked(run.doubled),
        "longest outage": longest,
        f"of {requests:,} requests failed": f"{failed:,}",
    }
    return f'<dl class="figures">{"".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in figures.items())}</dl>'


def _described(run: Run) -> str:
    """The time line in words."""
    ok = sum(each.ok for each in run.intervals) / max(run.length, 1)
    confirmed = sum(each.confirmed for each in run.intervals)
    failed = [each for each in run.intervals if each.failed]
    when = (
        f"requests failed between {tables.clock(failed[0].at)} and {tables.clock(failed[-1].at)}"
        if failed
        else ("no request failed")
    )
    return (
        f"Curves over {_minutes(run.length)}: good answers, {ok:.0f} a second on average; failed and refused requests:"
        f" {when}; times to an answer; {confirmed:,} orders CONFIRMED. The tables below have the figures."
    )


def _faults(run: Run) -> str:
    rows = [(str(number), *tables.row(each)) for number, each in enumerate(run.faults, 1)]
    names = sorted({(each.fault, each.does) for each in run.faults})
    what = "".join(f"<dt><code>{escape(name)}</code></dt><dd>{escape(does)}</dd>" for name, does in names)
    table = _table("Each fault, and what shoppers noticed of it", tables.COLUMNS, rows, tables.NUMBERS)
    return f'{table}\n<dl class="terms">{what}</dl>'


def _invariants(run: Run) -> str:
    findings = run.audits[-1].findings if run.audits else []
    rows = []
    for each in findings:
        counts = ", ".join(f"{count:,} {what}" for what, count in each.counts.items())
        wrong = "; ".join(f"{how}: {len(objects)}" for how, objects in each.wrong.items())
        rows.append((each.invariant, each.title, counts, f"FAILS: {wrong}" if wrong else "holds"))
    columns = ("#", "invariant", "checked", "result")
    passed = sum(audit.ok for audit in run.audits)
    return _table(f"The last of {len(run.audits)} audits, of which {passed} passed", columns, rows)


def _intervals(run: Run) -> str:
    """The figures of the time line, added up to at most ROWS rows."""
    each = max(1, -(-len(run.intervals) // ROWS))
    rows = []
    for first in range(0, len(run.intervals), each):
        some = run.intervals[first : first + each]
        sums = (sum(getattr(one, what) for one in some) for what in ("ok", "failed", "refused", "confirmed"))
        slowest = max((one.p95 for one in some if one.p95 is not None), default=None)
        rows.append((tables.clock(some[0].at), *map(str, sums), "–" if slowest is None else f"{slowest:.0f} ms"))
    columns = ("from", "good answers", "failed", "refused", "CONFIRMED", "highest p95")
    table = _table("The figures of the time line", columns, rows, set(columns))
    return f"<details><summary>The time line as a table</summary>{table}</details>"


def _table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[str] = ()) -> str:
    kinds = [' class="number"' if column in numbers else "" for column in columns]
    head = "".join(f'<th scope="col"{kind}>{escape(column)}</th>' for column, kind in zip(columns, kinds, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{escape(value)}</td>' for value, kind in zip(row, kinds, strict=True))}</tr>\n"
        for row in rows
    )
    # A region that scrolls must be reachable by the keyboard.
    return f"""<div class="table" role="region" aria-label="{escape(caption)}" tabindex="0"><table>
<caption>{escape(caption)}</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{body}</tbody>
</table></div>"""


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
