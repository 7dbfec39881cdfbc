"""`shopctl chaos`: list, inject and heal faults, and run many of them under traffic."""

import fcntl
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from chassis.local.processes import Process
from chassis.local.system import make_passable
from shopctl import given, runtime
from shopctl.chaos import catalog, helpers
from shopctl.chaos.cluster import Cluster
from shopctl.chaos.fault import Fault, Target
from shopctl.chaos.injection import heal as undo_all
from shopctl.chaos.injection import injected, notes
from shopctl.console import err, fail, interruptible, out
from shopctl.options import duration
from shopctl.place import Place
from shopctl.shop import Shop

SHOWN = 14
"""The most names that `list` shows for one fault; `inject NAME` shows all."""

LONGEST = 3600
"""Seconds that a run may be asked to take: it keeps all requests in memory."""

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Inject faults into the shop, and undo them.")


@app.callback()
def choose(
    context: typer.Context,
    cluster: Annotated[
        str, typer.Option(metavar="NAMESPACE", help="The shop in this namespace of the cluster that KUBECONFIG names.")
    ] = "",
) -> None:
    """Inject faults into the shop, and undo them."""
    context.obj = cluster


@app.command()
def run(
    context: typer.Context,
    seed: Annotated[int, typer.Option(min=0, max=1_000_000_000, help="Determines the faults and the shoppers.")] = 7,
    length: Annotated[float, typer.Option("--for", parser=duration, metavar="TIME", help="Such as 90s or 3m.")] = "3m",  # type: ignore[assignment]
    only: Annotated[str, typer.Option(help="Only these faults, separated by commas.")] = "",
    users: Annotated[int, typer.Option(min=1, max=10_000, help="The number of simulated shoppers.")] = 60,
) -> None:
    """Inject random faults while shoppers order, audit the shop, and write a report.

    The exit status is 0 if every audit passes, otherwise 1. Ctrl-C undoes what is in effect.
    """
    # Imported here, because its clients load slowly.
    from shopctl.chaos.session import session

    names = [name for each in only.split(",") if (name := each.strip())]
    if unknown := [name for name in names if name not in catalog.FAULTS]:
        raise typer.BadParameter(f"{', '.join(unknown)}; there are {', '.join(catalog.FAULTS)}", param_hint="--only")
    if length > LONGEST:
        raise typer.BadParameter("a run takes an hour at most", param_hint="--for")
    if context.obj:
        fail("A run needs a shop on this machine. On a cluster there are list, inject and heal.", status=2)
    shop = _running_shop()
    faults = [each for each in catalog.possible(shop) if not names or each.name in names]
    if lacking := [name for name in names if name not in {each.name for each in faults}]:
        fail(f"Not possible here: {', '.join(lacking)}. See `shopctl chaos list`.", status=2)
    try:
        with interruptible(), _alone(shop):
            if notes(shop):
                fail("Nothing was begun. Undo first what is in effect: shopctl chaos heal", status=2)
            passed = session(shop, faults, seed, length, users, names)
    except KeyboardInterrupt:
        _remind(shop)
        err.print("Interrupted." if notes(shop) else "Interrupted. No fault is in effect.")
        raise typer.Exit(130) from None
    if not passed:
        raise typer.Exit(1)


@app.command()
def summary(
    folders: Annotated[
        list[Path] | None, typer.Argument(exists=True, file_okay=False, help="Folders of runs; by default all.")
    ] = None,
) -> None:
    """Print the figures of several runs as Markdown: by fault, and by seed."""
    from shopctl.chaos.tables import summary
    from shopctl.chaos.timeline import FILE, read

    wanted = folders or sorted((Place.here().run / "chaos").glob("*-seed*"))
    ended = [folder for folder in wanted if (folder / FILE).exists()]
    if not ended:
        fail("No run has ended yet: shopctl chaos run")
    print(summary(map(read, ended)))
    if unended := len(wanted) - len(ended):
        err.print(f"Without {unended} that did not end.")


@app.command("list")
def list_(context: typer.Context) -> None:
    """List the faults by kind, and on what each can be injected here."""
    shop = _cluster(context, remind=True) or _shop()
    table = Table("fault", "effect", "on")
    for kind, faults in catalog.KINDS.items():
        table.add_section()
        table.add_row(f"[bold]{kind}[/bold]")
        for fault in faults:
            table.add_row(f"  {fault.name}", fault.does, _where(shop, fault))
    out.print(table)
    out.print("`shopctl chaos inject NAME ON --for 20s` injects one, `shopctl chaos run` many while shoppers order.")


@app.command()
def inject(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A fault of `shopctl chaos list`.")],
    on: Annotated[str | None, typer.Argument(help="What it is injected on; not needed if there is one choice.")] = None,
    length: Annotated[
        float, typer.Option("--for", parser=duration, metavar="TIME", help="Until it is undone, such as 20s or 2m.")
    ] = "10s",  # type: ignore[assignment]
) -> None:
    """Inject one fault, wait, and undo it. Ctrl-C undoes it at once."""
    if name not in catalog.FAULTS:
        raise typer.BadParameter(f"there is no {name!r}; there are {', '.join(catalog.FAULTS)}", param_hint="NAME")
    fault, shop = catalog.find(name), _cluster(context, remind=True) or _running_shop()
    if fault not in catalog.possible(shop):
        fail(f"{name} is not possible here: {_where(shop, fault)}.", status=2)
    choices = fault.on(shop)
    if on is None and len(choices) == 1:
        on = choices[0]
    if on is None or on not in choices:
        problem = "needs to be told on what" if on is None else f"cannot be injected on {on}"
        fail(f"{name} {problem}. There are {', '.join(map(shlex.quote, choices))}.", status=2)
    try:
        with interruptible(), _alone(shop), injected(shop, fault, on):
            out.print(f"{name} on {on} is in effect for {length:g} s; Ctrl-C undoes it at once.")
            time.sleep(length)
            out.print("Undoing …")
    except KeyboardInterrupt:
        out.print("Undone.")
        raise typer.Exit(130) from None
    out.print("Undone.")


@app.command()
def heal(context: typer.Context) -> None:
    """Undo every fault that is still in effect, such as after a crash of `shopctl chaos`."""
    shop = _cluster(context) or runtime.current()
    with _alone(shop):
        if not isinstance(shop, Cluster) and notes(shop) and not shop.processes():
            helpers.stop_all(shop)  # one may keep the shop from starting
            fail("The shop does not run. Start it, and then undo what is in effect: make up", status=2)
        healed = undo_all(shop)
    for each in healed:
        out.print(f"undone: {each.fault} on {each.on}")
    if not healed:
        out.print("No fault is in effect.")


def _where(shop: Target, fault: Fault) -> str:
    if shop.runtime not in fault.runtimes:
        return f"not {shop.runtime}: {', '.join(sorted(fault.runtimes))}"
    lacking = fault.needs(shop)
    if lacking:
        return f"needs {lacking}"
    choices = fault.on(shop)
    return ", ".join(choices) if len(choices) <= SHOWN else f"{', '.join(choices[:3])}, … ({len(choices)})"


@contextmanager
def _alone(shop: Target) -> Iterator[None]:
    """Keep other `shopctl chaos` commands from injecting and undoing faults. The command fails while one does."""
    folder = shop.place.run / "chaos"
    make_passable(folder)
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fail("Nothing was begun. Another `shopctl chaos` injects faults: wait until it has ended.", status=2)
        yield


def _cluster(context: typer.Context, *, remind: bool = False) -> Cluster | None:
    """The shop that --cluster names. May say on stderr which faults are in effect."""
    if not context.obj:
        return None
    shop = Cluster.of(context.obj)
    if remind:
        _remind(shop)
    return shop


def _shop() -> Shop:
    """The shop of this machine. Says on stderr which faults are in effect."""
    if given.text("SHOP_URL"):
        fail("SHOP_URL names a shop on another machine. Unset it: faults are injected here.", status=2)
    shop = runtime.current()
    _remind(shop)
    return shop


def _remind(shop: Target) -> None:
    for each in notes(shop):
        since = datetime.fromtimestamp(each.at, UTC)
        until = f"Process {each.pid} will undo it." if Process.of(each.pid) else "`shopctl chaos heal` undoes it."
        err.print(f"In effect since {since:%H:%M:%S} UTC: {each.fault} on {each.on}. {until}", soft_wrap=True)


def _running_shop() -> Shop:
    """The same. The command fails unless everything runs."""
    shop = _shop()
    running = shop.processes()
    if absent := [name for name in shop.names if name not in running]:
        fail(f"Not running: {', '.join(absent)}. `make up` starts the shop.", status=2)
    return shop
