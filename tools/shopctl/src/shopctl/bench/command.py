"""`shopctl bench` and `bench-scale`: measure the running shop, or one that grows, and print the figures."""

import asyncio
import json
from dataclasses import asdict
from typing import Annotated

import typer

from chassis.local.processes import StartError
from shopctl import runtime
from shopctl.bench.figures import table
from shopctl.console import cell, err, fail, interruptible, reason, show
from shopctl.options import finite

SECTIONS = ("checkout", "hot-sku", "reads", "cart", "cache", "pages", "idle", "memory")


def bench(
    only: Annotated[
        str | None, typer.Option(help=f"Only these sections, separated by commas, of {', '.join(SECTIONS)}.")
    ] = None,
    orders: Annotated[int, typer.Option(min=64, max=1_000_000, help="Number of orders at 64 at once.")] = 4000,
    seconds: Annotated[
        float,
        typer.Option(
            min=1,
            max=86_400,
            callback=finite,
            help="Seconds for each other measurement.",
        ),
    ] = 10,
    stock: Annotated[int, typer.Option(min=512, max=1_000_000, help="Units of the hot SKU.")] = 20_000,
    up: Annotated[bool, typer.Option("--up", help="Restart the shop first, and measure that too.")] = False,
    base: Annotated[
        str | None,
        typer.Option(help="Run this commit's shop and that of this clone beside the running one, and compare both."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often --base measures both.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Measure throughput, latency, CPU time and memory. The orders and guests stay in the shop.

    The shop must not limit requests: start it with RATE_LIMIT=off, or use `--up` with RATE_LIMIT=off.

    With `--base`, both shops run natively with their own data. The section is checkout, unless `--only` names others.
    """
    # Imported here, because these load slowly and other commands do not need them.
    from shopctl.bench.compare import compare
    from shopctl.bench.compare import table as compared
    from shopctl.bench.run import FAILURES, Extent, run, starting

    if base is not None and up:
        raise typer.BadParameter("it starts shops of its own; leave out --up", param_hint="--base")
    sections = only.split(",") if only is not None else SECTIONS if base is None else ("checkout",)
    if unknown := set(sections) - set(SECTIONS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}", param_hint="--only")
    extent = Extent(orders, seconds, stock)
    try:
        with interruptible(), err.status("Measuring …") as status:

            def report(what: str) -> None:
                status.update(cell(f"Measuring {what} …"))

            if base is not None:
                comparisons = compare(base, sections, extent, rounds, report)
                found, shown = [asdict(each) for each in comparisons], compared(comparisons, base)
            else:
                shop = runtime.current()
                running = shop.processes()
                if not up and (absent := [name for name in shop.names if name not in running]):
                    fail(f"Not running: {', '.join(absent)}. `make up` starts the shop.")
                figures = starting(shop) if up else []
                figures += asyncio.run(run(shop, sections, extent, report))
                found, shown = [asdict(each) for each in figures], table(figures)
    except (*FAILURES, StartError) as error:
        fail(f"The measurement failed: {reason(error)}")
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        show(shown)


def bench_scale(
    up_to: Annotated[int, typer.Option(min=10_000, max=10_000_000, help="The most orders and products.")] = 100_000,
    seconds: Annotated[float, typer.Option(min=1, max=86_400, callback=finite, help="Seconds for each search.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Measure a shop with 10,000 orders and products, with ten times as many, and so on.

    The shop is a native one beside the running one, with its own data, which is removed afterwards. A million
    take 7 GB of disk.
    """
    from shopctl.bench.growth import FAILURES, grow, table

    try:
        with interruptible(), err.status("Measuring …") as status:
            figures = grow(up_to, seconds, lambda what: status.update(cell(f"Measuring {what} …")))
    except (*FAILURES, StartError) as error:
        fail(f"The measurement failed: {reason(error)}")
    if as_json:
        print(json.dumps({count: [asdict(each) for each in found] for count, found in figures.items()}, indent=2))
    else:
        show(table(figures))
