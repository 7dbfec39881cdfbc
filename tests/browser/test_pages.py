"""What every page must be: without an error, accessible in both themes, valid HTML, and in the visitor's language.

Nothing on it moves by itself, neither on a telephone nor on a wide screen.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest
from rules_of_pages import RECORD_SHIFTS, faults_of_axe, faults_of_html
from visitors import IN_STOCK, PAGES, Shown

NARROW: dict[str, Any] = {"locale": "zh-CN", "viewport": {"width": 390, "height": 844}}
LANGUAGES: dict[str, dict[str, Any]] = {
    "en": {"locale": "en-US", "viewport": {"width": 1280, "height": 900}},
    "zh-Hans": NARROW | {"timezone_id": "Asia/Shanghai"},
}
"""How each language is visited, by its code."""
FORMS = [
    ("/login", "stranger", "Log in"),
    ("/register", "stranger", "Create the account"),
    ("/account", "shopper", "Change the password"),
    ("/checkout", "guest", "Order now"),
    ("/admin/products/new", "administrator", "Add the product"),
    (f"/admin/products/{IN_STOCK}/stock", "administrator", "Add"),
]
"""A page with a form, who fills it in, and the button that sends it."""


@contextmanager
def relay(shop: str, path: str, end: str) -> Iterator[str]:
    """A server in front of `shop` that sends the page at `path` in two parts; the second starts with the last `end`."""

    class Relay(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer = httpx2.get(shop + self.path, timeout=10, trust_env=False)
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            if self.path == path:
                first, mark, second = answer.content.rpartition(end.encode())
                self.wfile.write(first)
                time.sleep(0.5)  # long enough for Chromium to show what it has
                self.wfile.write(mark + second)
            else:
                self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Relay) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("shown", PAGES, ids=lambda shown: shown.name)
def test_a_page_is_valid_and_accessible_and_nothing_moves(visit, visitors, shown: Shown, language: str) -> None:
    who = visitors(shown.visitor)
    page = visit("about:blank", storage_state=who.state, reduced_motion="reduce", **LANGUAGES[language])
    answer = page.goto(who.path(shown))
    if shown.name == "api":  # the only page that loads data
        page.wait_for_load_state("networkidle")

    assert answer.status == shown.status
    assert page.locator("html").get_attribute("lang") == language
    assert faults_of_html(answer.text()) == []
    assert page.evaluate("shifts") == []
    assert faults_of_axe(page) == []


@pytest.mark.parametrize("end", ["<main", "</main>", "<footer", '<form action="/language"', "</footer>"])
def test_nothing_moves_if_the_last_part_of_a_page_comes_late(chromium, shop, end: str) -> None:
    with relay(shop.place.address, "/login", end) as address, chromium.new_context(**NARROW) as context:
        context.add_init_script(RECORD_SHIFTS)
        page = context.new_page()
        page.goto(f"{address}/login")
        assert page.evaluate("shifts") == []


def test_the_notice_of_a_page_from_the_cache_is_accessible(visit) -> None:
    page = visit("/", reduced_motion="reduce")
    page.evaluate("document.querySelector('[data-stale]').hidden = false")  # as the edge does
    assert page.get_by_text("this page may be a few minutes old").is_visible()
    assert faults_of_axe(page) == []


@pytest.mark.parametrize("path", ["/orders", "/orders/{order}", "/admin/orders", "/admin/orders/{order}"])
def test_times_are_in_the_visitors_own_zone_if_scripts_run(visit, visitors, path: str) -> None:
    who = visitors("administrator")
    shown = []
    for scripts in (False, True):
        page = visit("about:blank", storage_state=who.state, java_script_enabled=scripts, timezone_id="Asia/Kolkata")
        page.goto(path.format(**who.values))
        shown.append(page.locator("time").first.inner_text())
    utc, local = (datetime.strptime(text.removesuffix(" UTC"), "%b %d, %Y, %I:%M:%S %p") for text in shown)
    assert shown[0].endswith(" UTC")
    assert local - utc == timedelta(hours=5, minutes=30)


@pytest.mark.parametrize(("path", "who", "button"), FORMS, ids=lambda value: value.strip("/"))
def test_an_empty_form_comes_back_with_what_is_missing(visit, visitors, path: str, who: str, button: str) -> None:
    page = visit(path, storage_state=visitors(who).state, reduced_motion="reduce")
    page.evaluate("for (const form of document.forms) form.noValidate = true")  # else the browser keeps it back
    with page.expect_navigation() as sent:
        page.get_by_role("main").get_by_role("button", name=button, exact=True).click()

    assert sent.value.status == 422
    assert page.locator("[aria-invalid]").count() > 0
    assert faults_of_html(sent.value.text()) == []
    assert faults_of_axe(page) == []
