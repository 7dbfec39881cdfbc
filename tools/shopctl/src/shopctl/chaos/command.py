"""`shopctl chaos`: list, inject and heal faults."""

import time
from typing import Annotated

import typer
from rich.table import Table

from shopctl import runtime
from shopctl.chaos import catalog
from shopctl.chaos.injection import heal as undo_all
from shopctl.chaos.injection import injected
from shopctl.console import fail, interruptible, out, show
from shopctl.options import finite

app = typer.Typer(no_args_is_help=True, help="Inject faults into the shop, and undo them.")


@app.command("list")
def list_() -> None:
    """List the faults, and on what each can be injected here."""
    shop = runtime.current()
    table = Table("fault", "effect", "on")
    for fault in catalog.FAULTS.values():
        if shop.runtime not in fault.runtimes:
            here = f"not {shop.runtime}: {', '.join(sorted(fault.runtimes))}"
        elif lacking := fault.needs(shop):
            here = f"needs {lacking}"
        else:
            here = ", ".join(fault.on(shop))
        table.add_row(fault.name, fault.does, here)
    show(table)


@app.command()
def inject(
    name: Annotated[str, typer.Argument(help="A fault of `shopctl chaos list`.")],
    on: Annotated[str, typer.Argument(help="What it is injected on.")],
    seconds: Annotated[
        float, typer.Option("--for", min=0, max=3600, callback=finite, help="Seconds until it is undone.")
    ] = 10.0,
) -> None:
    """Inject one fault, wait, and undo it. Ctrl-C undoes it at once."""
    fault, shop = catalog.find(name), runtime.current()
    if fault not in catalog.possible(shop):
        fail(f"{name} is not possible here; see `shopctl chaos list`.")
    try:
        with interruptible(), injected(shop, fault, on):
            out.print(f"{name} on {on}, for {seconds:g} s …")
            time.sleep(seconds)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    finally:
        out.print("Undone.")


@app.command()
def heal() -> None:
    """Undo every fault that is still in effect, such as after a crash of `shopctl chaos`."""
    healed = undo_all(runtime.current())
    for each in healed:
        out.print(f"undone: {each.fault} on {each.on}")
    if not healed:
        out.print("No fault is in effect.")
