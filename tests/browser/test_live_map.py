"""The live map of an observed shop: what it says while parts of the shop are down, and after."""

import re

import pytest
from playwright.sync_api import Browser, expect
from rules_of_pages import faults_of_axe
from visitors import Visitor

from shopctl.shop import Shop

SECONDS = 40_000
"""Milliseconds until the map shows a change: two or three scrapes of Prometheus, and 2 s until the page asks again."""


@pytest.fixture
def administrator(visitors) -> Visitor:
    return visitors("administrator")


@pytest.mark.timeout(240)
def test_the_map_shows_what_is_down_and_what_waits(observed: Shop, visit, administrator, admin, shopper) -> None:
    sku = admin.product(stock=5)
    page = visit("/admin/live", storage_state=administrator.state, reduced_motion="reduce")

    def shows(part: str, *texts: str) -> None:
        for text in texts:
            expect(page.locator(f"#live-{part}")).to_contain_text(re.compile(text), timeout=SECONDS)

    for service in ("edge", "storefront", "cart", "catalog", "order", "payment", "identity"):
        shows(service, "1 replica")
    shows("rabbitmq", "up")
    assert faults_of_axe(page) == []
    page.evaluate("window.stays = true")

    observed.kill("payment")
    observed.stop("rabbitmq")
    try:
        id = shopper.buy(sku)  # it is accepted, and waits in the outbox
        shows("payment", "down")
        shows("rabbitmq", "down")
        shows("queue-order", "down")
        shows("order", r"1 \(\d")  # one event waits, for some seconds
        drawing = page.locator(".map.wide")
        expect(drawing.locator(".part.bad")).to_contain_text(["DOWN"])
        expect(drawing.locator(".broker.bad").last).to_contain_text("down")
        expect(drawing).to_contain_text("outbox 1", timeout=SECONDS)  # it is drawn when the event is 5 s old
        assert faults_of_axe(page) == []
    finally:
        observed.start("rabbitmq")
        observed.start("payment")

    for part, state in (("rabbitmq", "up"), ("payment", "1 replica"), ("queue-order", "0 waiting")):
        shows(part, state)
    expect(page.locator("#live-order td").last).to_have_text("0", timeout=SECONDS)  # the outbox is empty
    assert page.evaluate("window.stays")  # the page was never loaded again
    shopper.waits_for(id, "CONFIRMED")
    page.goto(f"/admin/live?order={id}")
    expect(page.locator("#live-way .way")).to_contain_text(["Paid and confirmed"], timeout=SECONDS)
    expect(drawing.locator(".lit")).to_have_count(10, timeout=SECONDS)


def test_the_page_says_that_the_shop_does_not_answer_and_goes_on(observed, chromium: Browser, administrator) -> None:
    with chromium.new_context(base_url=observed.place.address, storage_state=administrator.state) as context:
        page = context.new_page()
        page.goto("/admin/live")
        context.route("**/admin/live", lambda route: route.abort())
        expect(page.get_by_text("The shop does not answer")).to_be_visible(timeout=SECONDS)
        context.unroute("**/admin/live")
        expect(page.get_by_text("The shop does not answer")).to_be_hidden(timeout=SECONDS)
