"""The commands for the whole shop: up, down, reset."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from chassis.local.processes import StartError
from shopctl import given, runtime
from shopctl import seed as seeding
from shopctl.console import fail, interruptible, out
from shopctl.native import packages as system
from shopctl.place import ADMIN_EMAIL, ADMIN_PASSWORD, SHOPPER_EMAIL, SHOPPER_PASSWORD, Place

PAGES = ("grafana", "prometheus", "alertmanager", "jaeger")
KINDS = {"native": "as plain processes", "compose": "in containers"}


def up() -> None:
    """Start what is not running, wait until it is ready, and load the demo catalog the first time."""
    began = time.monotonic()
    with _changing() as place:
        if given.text("SHOP_URL"):
            raise StartError("SHOP_URL names a shop on another machine. Unset it to start one here.")
        observed = given.flag("OBSERVE")
        shop, why = runtime.starting(place)
        out.print(f"The shop runs {KINDS[shop.runtime]}: {why}.")
        if shop.runtime == "native":
            _install(observe=observed)
        if left_out := shop.observe(observed):
            out.print(left_out)
        with out.status("Starting PostgreSQL, Valkey, RabbitMQ, the services and nginx …"):
            started = shop.up(_report)
        try:
            if seeding.is_empty(place):
                seeding.seed()
        except BaseException:
            shop.stop(*started)
            raise
    seconds = time.monotonic() - began
    out.print(f"Started {len(started)} processes in {seconds:.1f} s." if started else "Everything was already running.")
    address = place.address
    out.print(
        f"""
The shop is open at [bold]{address}[/bold]

  back office  {ADMIN_EMAIL} / {ADMIN_PASSWORD}
  shopper      {SHOPPER_EMAIL} / {SHOPPER_PASSWORD}
{_pages(place)}
Try:  curl '{address}/api/catalog/products?q=soap&limit=3'
""",
        soft_wrap=True,
    )


def down() -> None:
    """Stop everything and keep the data."""
    with _changing() as place, out.status("Stopping …"):
        stopped = runtime.current(place).down()
    out.print(f"Stopped {len(stopped)} processes; the data is kept." if stopped else "Nothing was running.")


def reset(yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Stop everything and remove all data: orders, payments, accounts."""
    with _changing() as place:
        shop = runtime.current(place)
        if not yes:
            shared = " and in Docker volumes, which all clones share" if shop.runtime == "compose" else ""
            typer.confirm(f"Remove all data of the shop in {place.run}{shared}?", abort=True)
        shop.reset()
    out.print("Removed everything. `make up` starts a new shop.")


def packages() -> None:
    """Install the system packages that the shop and its tests need, or print which are missing."""
    _install(tests=True)


def _pages(place: Place) -> str:
    """The addresses of the tools that have pages, a line each."""
    found = {name: place.tool_url(name) for name in PAGES if name in place.tools}
    return "".join(f"\n  {name:<12} {url}" for name, url in found.items()) + ("\n" if found else "")


def _install(tests: bool = False, observe: bool = False) -> None:
    if missing := system.missing(tests, observe):
        try:
            with out.status(f"Installing {', '.join(missing)} …"):
                system.ensure(tests, observe)
        except system.PackagesMissing as error:
            fail(error)


def _report(name: str, seconds: float) -> None:
    out.print(f"[green]✓[/green] {name:<10} {seconds:5.1f} s")


@contextmanager
def _changing() -> Iterator[Place]:
    place = Place.here()
    try:
        with interruptible(), place.exclusively():
            yield place
    except StartError as error:
        fail(error)
