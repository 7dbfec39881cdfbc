"""The command that shows the running shop, again and again."""

import asyncio
import json
import signal
import time
from collections import deque
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import asdict
from typing import Annotated

import typer
from rich.live import Live

from chassis.waiting import pause
from shopctl import given, runtime
from shopctl.console import out
from shopctl.options import finite
from shopctl.place import Place
from shopctl.services import Services
from shopctl.top.figures import Figures, figures
from shopctl.top.page import Page
from shopctl.top.snapshot import Snapshot, Source
from shopctl.top.trouble import trouble

LIKE = "http://host:9090"


def top(
    once: Annotated[bool, typer.Option("--once", help="Print one page and exit, as without a terminal.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures once, as JSON.")] = False,
    interval: Annotated[
        float, typer.Option(min=0.5, max=60, callback=finite, help="Seconds between two looks at the shop.")
    ] = 1.5,
    prometheus: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Show the shop that this Prometheus scrapes; default: SHOP_PROMETHEUS_URL."),
    ] = None,
) -> None:
    """Show orders, latency, errors, queues and what is wrong, until Ctrl-C. It works without a Prometheus."""
    place = Place.here()
    url = given.checked("--prometheus", prometheus, LIKE) or given.address("SHOP_PROMETHEUS_URL", like=LIKE)
    asyncio.run(_top(place, url, interval, once=once or as_json or not out.is_terminal, as_json=as_json))


async def _top(place: Place, url: str | None, interval: float, *, once: bool, as_json: bool) -> None:
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(_source(place, url))
        past = Past(source, place.services, await source.first())
        if as_json:
            print(json.dumps({**asdict(past.figures), "trouble": trouble(past.figures)}, indent=2))
        elif once:
            out.print(past.page)
        else:
            await _live(past, interval)


async def _live(past: "Past", interval: float) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    with Live(past.page, console=out, screen=True, auto_refresh=False) as live:
        while not stop.is_set():
            began = time.monotonic()
            look = asyncio.create_task(past.look())
            await asyncio.wait({look, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                look.cancel()
                break
            await look
            live.update(past.page, refresh=True)
            await pause(stop, max(0.1, interval - (time.monotonic() - began)))


class Past:
    """The snapshots within the window of rates, and the values for the curves."""

    def __init__(self, source: Source, services: Services, first: list[Snapshot]) -> None:
        self._source = source
        self._services = services
        self._snapshots = deque(first)
        self._placed: deque[float | None] = deque(maxlen=240)
        self._delays: deque[float | None] = deque(maxlen=240)
        self.figures = self._compared()

    async def look(self) -> None:
        self._snapshots.append(await self._source.look())
        while len(self._snapshots) > 2 and self._snapshots[-1].at - self._snapshots[1].at >= self._source.window:
            self._snapshots.popleft()
        self.figures = self._compared()

    @property
    def page(self) -> Page:
        return Page(self._source.title, self.figures, self._placed, self._delays)

    def _compared(self) -> Figures:
        found = figures(self._snapshots[0], self._snapshots[-1], self._services)
        self._placed.append(found.orders.placed)
        self._delays.append(found.orders.p95)
        return found


def _source(place: Place, url: str | None) -> AbstractAsyncContextManager[Source]:
    if url:
        from shopctl.top.prometheus import Prometheus

        return Prometheus(url, place.services)
    from shopctl.top.direct import Direct

    return Direct(runtime.current(place))
