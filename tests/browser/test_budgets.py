"""What a page may cost its first visitor: sizes over the wire and numbers of requests, not times."""

from collections import Counter

import pytest
from playwright.sync_api import Page
from visitors import CATEGORY, IN_STOCK

KB = 1_000
PAGES = {"home": "/", "category": f"/c/{CATEGORY}", "product": f"/p/{IN_STOCK}"}


class Wire:
    """Counts what a page loads: `sizes` in bytes with headers, as they come from the edge, by kind of resource."""

    def __init__(self, page: Page) -> None:
        self.sizes: Counter[str] = Counter()
        self.requests = 0
        self._kinds: dict[str, str] = {}
        session = page.context.new_cdp_session(page)
        session.on("Network.requestWillBeSent", self._sent)
        session.on("Network.loadingFinished", self._finished)
        session.send("Network.enable")

    def _sent(self, event: dict) -> None:
        self.requests += 1
        self._kinds[event["requestId"]] = event["type"]

    def _finished(self, event: dict) -> None:
        self.sizes[self._kinds[event["requestId"]]] += event["encodedDataLength"]


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
@pytest.mark.parametrize(
    "viewport", [{"width": 390, "height": 844}, {"width": 1280, "height": 900}], ids=["390", "1280"]
)
def test_a_first_visit_is_small_and_nothing_moves(visit, path: str, viewport: dict[str, int]) -> None:
    page = visit("about:blank", viewport=viewport)
    wire = Wire(page)
    page.goto(path, wait_until="networkidle")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_load_state("networkidle")

    assert wire.sizes.total() <= 60 * KB, wire.sizes
    assert wire.requests <= 15
    assert wire.sizes["Script"] <= 8 * KB
    assert wire.sizes["Stylesheet"] <= 12 * KB
    assert page.evaluate("shifts") == []
