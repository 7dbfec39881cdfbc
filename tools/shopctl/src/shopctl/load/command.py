"""`shopctl load`: runs simulated shoppers, then the audit, and prints one verdict."""

import re
from typing import Annotated

import typer

from shopctl import given, runtime
from shopctl.compose import ComposeShop
from shopctl.console import err, fail, interruptible, out, reason
from shopctl.load import containers, locust
from shopctl.load.limits import limits
from shopctl.options import finite
from shopctl.shop import Shop

SHAPES = {"steady": 250, "ramp": 250, "spike": 200, "soak": 250, "double11": 500}
"""The shapes, with the most shoppers for which the edge's usual limits suffice."""
WRONG_USAGE = 2
DEFAULT_USERS = {"double11": 10_000}
"""The shapes that have more shoppers by default."""
DEFAULT_WORKERS = {"double11": 2}
"""The shapes for which one process of Locust is not enough: shoppers would wait in its own queue."""


def _duration(text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"(?=.)([0-9]{1,4}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?", text):
        raise typer.BadParameter(f"{text!r} must be like 90s, 2m or 1h30m.")
    return text


def _shape(text: str | None) -> str | None:
    if text is not None and text not in SHAPES:
        raise typer.BadParameter(f"there is no {text!r}. There are {', '.join(SHAPES)}.")
    return text


def load(
    shape: Annotated[
        str | None, typer.Option(envvar="SHAPE", callback=_shape, help=f"{', '.join(SHAPES)}; steady by default.")
    ] = None,
    users: Annotated[int | None, typer.Option(envvar="USERS", min=1, max=1_000_000, help="Number of shoppers.")] = None,
    time: Annotated[str | None, typer.Option(envvar="TIME", callback=_duration, help="Such as 90s or 2m.")] = None,
    seed: Annotated[int, typer.Option(envvar="SEED", min=0, help="Determines what shoppers do.")] = 1,
    personas: Annotated[
        str | None, typer.Option(envvar="PERSONAS", help="Such as browser:6,buyer:3; by default those of the shape.")
    ] = None,
    pages: Annotated[bool, typer.Option("--pages", envvar="PAGES", help="The storefront's pages too.")] = False,
    workers: Annotated[
        int | None, typer.Option(envvar="WORKERS", min=1, max=64, help="Processes of Locust: 1 by default, double11 2.")
    ] = None,
    thresholds: Annotated[
        str | None, typer.Option(envvar="THRESHOLDS", help="Such as reads_p95=300,failed=0; see loadtests/README.md.")
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, max=3600, callback=finite, help="Seconds until the audit must pass, afterwards.")
    ] = 120,
    ui: Annotated[bool, typer.Option("--ui", help="Open Locust's page, to choose personas and shape there.")] = False,
) -> None:
    """Load the running shop with simulated shoppers, audit it, and print a verdict: exit status 1 if it fails."""
    # Imported here, because these load slowly and other commands do not need them.
    from shopctl.audit.command import show
    from shopctl.audit.sources import UNREADABLE, Unreadable
    from shopctl.load.verdict import audited, limited, read_summary, verdict

    shop = runtime.current()
    _require(shop)
    name = shape or ("page" if ui else "steady")
    expected = users or DEFAULT_USERS.get(name, 0)
    if not ui and expected > SHAPES[name] and limits(locust.address(shop)):
        fail(f"The edge limits requests, too much for {expected:,} shoppers: RATE_LIMIT=off make up", status=2)
    settings = {
        "SHAPE": shape or ("" if ui else name),
        "USERS": str(users or ""),
        "TIME": time or "",
        "SEED": str(seed),
        "PERSONAS": personas or "",
        "PAGES": "1" if pages else "",
        "THRESHOLDS": thresholds or "",
    }
    workers = workers or DEFAULT_WORKERS.get(name, 1)
    run = locust.LoadRun(shop, locust.folder(shop.place, name), settings, workers, ui)
    in_containers = isinstance(shop, ComposeShop) and not ui and not given.text("SHOP_URL")
    running = containers.running if in_containers else locust.running
    if ui:
        out.print(f"Locust's page: [bold]http://127.0.0.1:{locust.PAGE + shop.place.offset}[/bold]. Ctrl-C ends it.")
    interrupted = False
    try:
        with interruptible(), running(run) as process:
            process.wait()
    except KeyboardInterrupt:
        interrupted = True
    summary = read_summary(run.folder)
    if summary is None and (ui or interrupted or process.returncode == WRONG_USAGE):
        out.print("Nothing was run.")
        raise typer.Exit(130 if interrupted else process.returncode)
    try:
        with err.status("Waiting until all orders are settled and the audit passes …"):
            findings = audited(shop.place, run.folder, wait)
    except (*UNREADABLE, Unreadable) as error:
        fail(f"FAIL: the shop cannot be read: {reason(error)}\nDoes it still run? See `make status`.")
    out.print()
    for each in findings:
        show(each)
    passed, line = verdict(summary, findings)
    if count := limited(summary):
        out.print(f"\nThe edge limited {count:,} requests. Without limits: RATE_LIMIT=off make up", soft_wrap=True)
    out.print(f"\nReport: {run.folder / 'report.html'}", soft_wrap=True, markup=False)
    out.print(line, style="green" if passed else "red", soft_wrap=True, markup=False)
    if interrupted or not passed:
        raise typer.Exit(130 if interrupted else 1)


def _require(shop: Shop) -> None:
    """End with status 2 unless the shop runs."""
    if given.text("SHOP_URL"):
        return
    running = shop.processes()
    if absent := [name for name in shop.names if name not in running]:
        fail(f"Not running: {', '.join(absent)}. `make up` starts the shop.", status=2)
