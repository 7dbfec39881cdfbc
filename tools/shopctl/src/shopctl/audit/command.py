"""`shopctl audit`: prints a line for each invariant. Exit code 1 if one fails, 2 if the shop cannot be read."""

import asyncio
import json
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from shopctl.audit.finding import Finding
from shopctl.console import err, fail, out, reason
from shopctl.options import finite
from shopctl.place import Place

EXAMPLES = 3


def audit(
    attempts: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            help="JSON lines of every POST that a client made, for A4: {key, body, status, order_id, at}. A file, or a"
            " folder with files attempts*.jsonl; may be repeated.",
        ),
    ] = None,
    poisoned: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="IDs of the expected dead letters, one per line."),
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, max=86_400, callback=finite, help="Seconds to wait until all invariants hold.")
    ] = 0,
    since_last: Annotated[
        bool,
        typer.Option(
            "--since-last",
            help="Look only at what has changed since the last audit, or at everything if that found something wrong."
            " Rows that somebody edited by hand are found only by an audit of everything.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Check that nothing is oversold, charged twice or lost, in all orders. The shop must be quiet: see --wait."""
    # Imported here, because these clients load slowly and other commands do not need them.
    from shopctl.audit.attempts import Journal, read_attempts, read_ids
    from shopctl.audit.run import check
    from shopctl.audit.sources import UNREADABLE, Addresses, Unreadable

    place = Place.here()
    with ExitStack() as stack:
        try:
            journal = stack.enter_context(Journal.of(read_attempts(*attempts))) if attempts else None
            expected = set() if poisoned is None else read_ids(poisoned)
        except (OSError, Unreadable) as error:
            fail(error, status=2)
        try:
            checks = check(Addresses.of(place), place.services, journal, expected, wait, since_last=since_last)
            findings = asyncio.run(checks)
        except UNREADABLE as error:
            fail(f"The shop cannot be read: {reason(error)}\nDoes the shop run? See `make status`.", status=2)
    if as_json:
        print(json.dumps([{"ok": each.ok, **asdict(each)} for each in findings], indent=2))
    else:
        for each in findings:
            show(each)
    if not all(each.ok for each in findings):
        raise typer.Exit(1)


def show(finding: Finding) -> None:
    counts = ", ".join(f"{count:,} {what}" for what, count in finding.counts.items()) or "not requested"
    verdict = "[green]ok  [/green]" if finding.ok else "[red]FAIL[/red]"
    out.print(f"{finding.invariant:<4}{verdict} {finding.title} [dim]({counts})[/dim]", soft_wrap=True)
    for how, objects in finding.wrong.items():
        more = f" and {len(objects) - EXAMPLES} more" if len(objects) > EXAMPLES else ""
        err.print(f"         {how}: {', '.join(objects[:EXAMPLES])}{more}", style="red", markup=False, soft_wrap=True)
