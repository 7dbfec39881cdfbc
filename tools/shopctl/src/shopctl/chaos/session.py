"""What surrounds a run: its folder, the versions, progress, the table, the report and the verdict."""

import platform
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from chassis.local.system import make_passable
from shopctl import __version__
from shopctl.chaos import tables
from shopctl.chaos.fault import Fault
from shopctl.chaos.run import Running
from shopctl.chaos.schedule import planned
from shopctl.chaos.timeline import Run, save
from shopctl.chaos.traffic import Traffic
from shopctl.console import err, out, show
from shopctl.shop import Shop

__all__ = ["session"]


def session(shop: Shop, faults: Sequence[Fault], seed: int, seconds: float, users: int, only: Sequence[str]) -> bool:
    """Makes a run and its report; returns whether it has passed. Raises StartError."""
    began = time.time()
    folder = shop.place.run / "chaos" / f"{datetime.fromtimestamp(began, UTC):%Y%m%dT%H%M%SZ}-seed{seed}"
    make_passable(folder)
    rounds = planned(shop, faults, seed, seconds)
    total = sum(len(each.faults) for each in rounds)
    command = f"shopctl chaos run --seed {seed} --for {seconds:g}s --users {users}"
    command += f" --only {','.join(only)}" if only else ""
    run = Run(seed, seconds, users, shop.runtime, command, began, _versions(shop), total)
    out.print(f"Seed {seed}: {tables.counted(total)} in about {sum(each.seconds for each in rounds):.0f} s …")

    def say(text: str) -> None:
        out.print(f"{tables.clock(time.time() - began):>6}  {text}", markup=False, soft_wrap=True)

    Running(shop, run, Traffic(shop, folder / "traffic", seed, users), say).execute(rounds)
    save(run, folder)
    show(tables.faults(run))
    for each in run.trouble:
        err.print(each, style="red", markup=False, soft_wrap=True)
    if run.trouble and (suspects := tables.suspects(run)):
        before = ", ".join(f"{each.fault} on {each.on} at {tables.clock(each.at)}" for each in suspects)
        err.print(f"Since the last audit that passed: {before}", markup=False, soft_wrap=True)
    out.print(_report(run, folder), markup=False, soft_wrap=True)
    if run.trouble:
        out.print(f"Repeat it: {command}", markup=False, soft_wrap=True)
    out.print(tables.verdict(run), markup=False, soft_wrap=True, style="bold red" if run.trouble else "bold green")
    return not run.trouble


def _report(run: Run, folder: Path) -> str:
    if find_spec("matplotlib") is None:
        return (
            f"No report: matplotlib is not installed. `make setup` in a clone installs it. The figures are in {folder}"
        )
    from shopctl.chaos.report import write

    return f"Report: {write(run, folder)}"


def _versions(shop: Shop) -> dict[str, str]:
    found = {"Quayside": __version__, "revision": _revision(shop.place.root), "runtime": shop.runtime}
    found |= {"Python": platform.python_version(), "system": f"{platform.system()} {platform.release()}"}
    with suppress(PackageNotFoundError):
        found["Locust"] = version("locust")
    return {name: value for name, value in found.items() if value}


def _revision(root: Path) -> str:
    command = ["git", "describe", "--tags", "--always", "--dirty"]
    with suppress(OSError):  # there may be no git
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout.strip()
    return ""
