"""Fixtures: Chromium without a screen, in front of a shop with the demo catalog, and what every page must keep to."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    WebError,
    expect,
    sync_playwright,
)
from rules_of_pages import RECORD_SHIFTS
from visitors import Visitor, visitor
from visitors import chromium as start_chromium

from shopctl import shelves
from shopctl.shop import Shop

Open = Callable[..., Page]

TIMEOUT = 30_000
"""Milliseconds until a page counts as hanging. Playwright's own limit for an expectation is 5 s."""
expect.set_options(timeout=TIMEOUT)

NOT_LOADED = "Failed to load resource: the server responded with a status of "
"""Chromium logs each page of an error as an error, although a person reads it."""

LEFT_OUT = re.compile(r"Transition was (aborted|skipped)")
"""Chromium reports an animation between two pages that it leaves out, because one was slow or another click came."""


@pytest.fixture(scope="session")
def stocked(shop: Shop) -> Shop:
    """The shop, with the demo catalog."""
    asyncio.run(shelves.fill(shop.place.address, shop.place.admin))
    return shop


@pytest.fixture(scope="module")
def playwright(stocked: Shop) -> Iterator[Playwright]:
    """Playwright, which runs an event loop in this thread until the module's tests have ended.

    So the shop starts before it, and what a test does to the shop must not start another loop here.
    """
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    with start_chromium(playwright) as browser:
        yield browser


class Watch:
    """Records what no page may do: log an error, violate its Content-Security-Policy, or ask another host.

    Chromium logs a violation as an error.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.faults: list[str] = []
        self._pages: set[str] = set()

    def over(self, context: BrowserContext) -> None:
        context.on("request", self._requested)
        context.on("console", self._logged)
        context.on("weberror", self._failed)

    def _failed(self, failure: WebError) -> None:
        if not LEFT_OUT.search(str(failure.error)):
            self.faults.append(str(failure.error))

    def _requested(self, request: Request) -> None:
        if not request.url.startswith(f"{self.address}/"):
            self.faults.append(f"a request to {request.url}")
        if request.is_navigation_request():
            self._pages.add(request.url)

    def _logged(self, message: ConsoleMessage) -> None:
        url = str(message.location.get("url"))
        page_of_an_error = message.text.startswith(NOT_LOADED) and url in self._pages
        if message.type == "error" and not page_of_an_error:
            self.faults.append(f"{url}: {message.text}")


@pytest.fixture
def visit(chromium: Browser, shop: Shop) -> Iterator[Open]:
    """`page = visit("/cart")` opens a page in a new browser; the options are those of Playwright's `new_context`.

    `page.context` has the cookies of one shopper. `page.evaluate("shifts")` has what RECORD_SHIFTS records. The test
    fails at its end if a page did what `Watch` records.
    """
    contexts: list[BrowserContext] = []
    watch = Watch(shop.place.address)

    def open_page(path: str = "/", **options: Any) -> Page:
        context = chromium.new_context(base_url=shop.place.address, **({"locale": "en-US"} | options))
        context.set_default_timeout(TIMEOUT)
        contexts.append(context)
        context.add_init_script(RECORD_SHIFTS)
        watch.over(context)
        page = context.new_page()
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert watch.faults == []


@pytest.fixture(scope="module")
def visitors(chromium: Browser, shop: Shop) -> Callable[[str], Visitor]:
    """Returns a visitor by name; each of them prepares only once."""
    return cache(lambda name: visitor(chromium, shop.place.address, name))


@pytest.fixture
def without(shop: Shop) -> Callable[[str], AbstractContextManager[None]]:
    """`with without("order"):` stops one service or store inside the block."""

    @contextmanager
    def stopped(name: str) -> Iterator[None]:
        shop.stop(name)
        try:
            yield
        finally:
            shop.start(name)

    return stopped
