"""Fixtures: Chromium without a screen, and its pages; a test fails for an error in a page's console."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, sync_playwright

from shopctl.native.packages import browser as chromium_program
from shopctl.shop import Shop

Open = Callable[..., Page]

EXPECTED = "Failed to load resource: the server responded with a status of 4"
"""Chromium logs each page of an error as an error, although a person reads it."""


@pytest.fixture(scope="module")
def playwright(shop: Shop) -> Iterator[Playwright]:
    """Playwright, which runs an event loop in this thread until the module's tests have ended.

    So the shop starts before it, and what a test does to the shop must not start another loop here.
    """
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses its sandbox to root
    browser = playwright.chromium.launch(executable_path=chromium_program(), args=arguments)
    yield browser
    browser.close()


@pytest.fixture
def visit(chromium: Browser, shop: Shop) -> Iterator[Open]:
    """`page = visit("/cart")` opens a page in a new browser; the options are those of Playwright's `new_context`.

    `page.context` has the cookies of one shopper. The test fails at its end if a page had an error in its console.
    """
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(EXPECTED):
            errors.append(f"{message.location.get('url')}: {message.text}")

    def open_page(path: str = "/", **options: Any) -> Page:
        context = chromium.new_context(base_url=shop.place.address, **({"locale": "en-US"} | options))
        context.set_default_timeout(15_000)
        contexts.append(context)
        context.on("console", heard)
        context.on("weberror", lambda error: errors.append(str(error.error)))
        page = context.new_page()
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
