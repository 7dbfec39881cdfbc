"""Chooses what runs the shop: containers if a Docker Engine answers, otherwise plain processes on this machine.

RUNTIME=native|compose in the environment decides. Otherwise it is the runtime that `up` used last, if
the shop exists.
"""

import os

from chassis.local.processes import StartError
from chassis.local.system import make_passable
from shopctl import compose
from shopctl.compose import ComposeShop
from shopctl.native.shop import NativeShop
from shopctl.place import Place
from shopctl.shop import Shop

__all__ = ["RUNTIMES", "current", "starting"]

RUNTIMES: dict[str, type[ComposeShop | NativeShop]] = {"native": NativeShop, "compose": ComposeShop}


def current(place: Place | None = None) -> Shop:
    """The shop that `up` started last, or would start now. Raises StartError."""
    place = place or Place.here()
    return RUNTIMES[_wanted() or _last(place) or _possible()[0]](place)


def starting(place: Place | None = None) -> tuple[Shop, str]:
    """The shop to start, and why it runs that way; from then on it is the current one. Raises StartError."""
    place = place or Place.here()
    wanted, last = _wanted(), _last(place)
    running = last if last and RUNTIMES[last](place).processes() else None
    if wanted and running and wanted != running:
        raise StartError(f"The shop already runs as {running}. Stop it first: RUNTIME={running} make down")
    name, why = (
        (running, "some of it already does") if running else (wanted, "RUNTIME says so") if wanted else _possible()
    )
    make_passable(place.run)
    (place.run / "runtime").write_text(name)
    return RUNTIMES[name](place), why


def _wanted() -> str | None:
    wanted = os.environ.get("RUNTIME") or None
    if wanted is not None and wanted not in RUNTIMES:
        raise StartError(f"RUNTIME={wanted}: there are {' and '.join(RUNTIMES)}.")
    return wanted


def _last(place: Place) -> str | None:
    file = place.run / "runtime"
    last = file.read_text(errors="replace") if file.exists() else ""
    return last if last in RUNTIMES else None


def _possible() -> tuple[str, str]:
    reason = compose.unavailable()
    return ("native", reason) if reason else ("compose", "a Docker Engine answers")
