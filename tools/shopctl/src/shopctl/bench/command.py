"""`shopctl bench`: measure the running shop and print the figures."""

import asyncio
import json
from dataclasses import asdict
from typing import Annotated

import typer

from chassis.local.processes import StartError
from shopctl import runtime
from shopctl.bench.figures import Figure, table
from shopctl.console import err, fail, interruptible, reason, show
from shopctl.options import finite

SECTIONS = ("checkout", "hot-sku", "reads", "cart", "cache", "pages", "idle", "memory")


def bench(
    only: Annotated[str, typer.Option(help="Only these sections, separated by commas.")] = ",".join(SECTIONS),
    orders: Annotated[int, typer.Option(min=10, max=1_000_000, help="Number of orders at saturation.")] = 4000,
    seconds: Annotated[
        float,
        typer.Option(
            min=1,
            max=86_400,
            callback=finite,
            help="Seconds for each other measurement.",
        ),
    ] = 10,
    rate: Annotated[
        float, typer.Option(min=1, max=10_000, callback=finite, help="The fixed rate, in orders per second.")
    ] = 50,
    stock: Annotated[int, typer.Option(min=512, max=1_000_000, help="Units of the hot SKU.")] = 20_000,
    up: Annotated[bool, typer.Option("--up", help="Restart the shop first, and measure that too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Measure throughput, latency, CPU time and memory. The orders and guests stay in the shop.

    The shop must not limit requests: start it with RATE_LIMIT=off, or use `--up` with RATE_LIMIT=off.
    """
    # Imported here, because these load slowly and other commands do not need them.
    from shopctl.bench.run import FAILURES, Extent, run, starting

    wanted = set(only.split(","))
    if unknown := wanted - set(SECTIONS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}", param_hint="--only")
    figures: list[Figure] = []
    try:
        shop = runtime.current()
        running = shop.processes()
        if not up and (absent := [name for name in shop.names if name not in running]):
            fail(f"Not running: {', '.join(absent)}. `make up` starts the shop.")
        with interruptible(), err.status("Measuring …") as status:
            if up:
                figures += starting(shop)
            extent = Extent(orders, seconds, rate, stock)
            figures += asyncio.run(run(shop, wanted, extent, lambda name: status.update(f"Measuring {name} …")))
    except (*FAILURES, StartError) as error:
        fail(f"The measurement failed: {reason(error)}")
    if as_json:
        print(json.dumps([asdict(figure) for figure in figures], indent=2))
    else:
        show(table(figures))
