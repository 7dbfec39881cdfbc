"""What every page must be: without an error, accessible in both themes, valid HTML, and in the visitor's language.

Nothing on it moves by itself, neither on a telephone nor on a wide screen.
"""

from datetime import datetime, timedelta
from typing import Any

import pytest
from rules_of_pages import faults_of_axe, faults_of_html
from visitors import IN_STOCK, PAGES, Shown

LANGUAGES: dict[str, dict[str, Any]] = {
    "en": {"locale": "en-US", "viewport": {"width": 1280, "height": 900}},
    "zh-Hans": {"locale": "zh-CN", "viewport": {"width": 390, "height": 844}, "timezone_id": "Asia/Shanghai"},
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
