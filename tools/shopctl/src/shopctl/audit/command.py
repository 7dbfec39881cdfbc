"""`shopctl audit`: a line for each invariant; ends with 1 if one fails, with 2 when the shop cannot be read."""

import asyncio
import json
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from shopctl.audit.finding import Finding
from shopctl.audit.messages import a6, a7, dead_letters
from shopctl.audit.money import a3, a9
from shopctl.audit.orders import Attempt, a4, a5, a8, a10, read_attempts
from shopctl.audit.sources import UNREADABLE, Addresses, Sources, opened
from shopctl.audit.stock import a1, a2
from shopctl.broker import LADDER
from shopctl.console import err, out
from shopctl.native.place import CONSUMERS, Place

EXAMPLES = 3
POLL_SECONDS = 0.5


def audit(
    attempts: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="JSON lines of every POST a client made: {key, body, status, order_id, at}; A4 compares them.",
        ),
    ] = None,
    poisoned: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Ids of events that are to be dead letters, one a line."),
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait at the most until all holds.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Check that nothing is oversold, charged twice or lost. The shop should be quiet: see --wait."""
    place = Place.here()
    try:
        made = None if attempts is None else read_attempts(attempts)
        expected = set() if poisoned is None else set(poisoned.read_text().split())
        findings = asyncio.run(check(Addresses.of(place), place.root, made, expected, wait))
    except UNREADABLE as error:
        err.print(f"The shop cannot be read: {error or type(error).__name__}", style="red", markup=False)
        raise typer.Exit(2) from None
    if as_json:
        print(json.dumps([{"ok": each.ok, **asdict(each)} for each in findings], indent=2))
    else:
        for each in findings:
            show(each)
    if not all(each.ok for each in findings):
        raise typer.Exit(1)


async def check(
    addresses: Addresses,
    root: Path,
    attempts: Sequence[Attempt] | None = None,
    poisoned: Collection[str] = (),
    wait: float = 0,
) -> list[Finding]:
    """Every invariant, tried again for `wait` seconds until all hold. Raises one of UNREADABLE."""
    deadline = time.monotonic() + wait
    async with opened(addresses) as sources:
        while True:
            late = time.monotonic() >= deadline
            if late or await quiet(sources):
                findings = await look(sources, root, attempts, poisoned)
                if late or all(each.ok for each in findings):
                    return findings
            await asyncio.sleep(POLL_SECONDS)


async def look(
    sources: Sources, root: Path, attempts: Sequence[Attempt] | None, poisoned: Collection[str]
) -> list[Finding]:
    dead = await dead_letters(sources)
    return [
        await a1(sources),
        await a2(sources),
        await a3(sources),
        await a4(sources, attempts),
        await a5(sources),
        await a6(sources, root, dead),
        await a7(sources, dead, poisoned),
        await a8(sources),
        await a9(sources),
        await a10(sources),
    ]


async def quiet(sources: Sources) -> bool:
    """Whether nothing waits in an outbox or a queue, and no order is on its way."""
    for connection in sources.databases.values():
        if await connection.fetchval("SELECT EXISTS (SELECT FROM outbox)"):
            return False
    if await sources.order.fetchval(
        "SELECT EXISTS (SELECT FROM orders WHERE status IN ('PENDING', 'RESERVED'))"
        " OR EXISTS (SELECT FROM orders WHERE status IN ('CANCELLING', 'EXPIRING', 'REFUNDING'))"
    ):
        return False
    async with sources.channel() as channel:
        queues = [await channel.declare_queue(name, passive=True) for name in (*CONSUMERS, *LADDER)]
        return not any(queue.declaration_result.message_count for queue in queues)


def show(finding: Finding) -> None:
    counts = ", ".join(f"{count:,} {what}" for what, count in finding.counts.items()) or "not asked for"
    verdict = "[green]ok  [/green]" if finding.ok else "[red]FAIL[/red]"
    out.print(f"{finding.invariant:<4}{verdict} {finding.title} [dim]({counts})[/dim]", soft_wrap=True)
    for how, whom in finding.wrong.items():
        more = f" and {len(whom) - EXAMPLES} more" if len(whom) > EXAMPLES else ""
        err.print(f"         {how}: {', '.join(whom[:EXAMPLES])}{more}", style="red", markup=False, soft_wrap=True)
