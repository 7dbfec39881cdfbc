"""What every page must be: without an error, accessible in both themes, valid HTML, and in the visitor's language."""

from collections import Counter

import html5lib
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page
from visitors import IN_STOCK, PAGES, Shown

LANGUAGES = {"en": "en-US", "zh-Hans": "zh-CN"}
FORMS = [
    ("/login", "stranger", "Log in"),
    ("/register", "stranger", "Create the account"),
    ("/account", "shopper", "Change the password"),
    ("/checkout", "guest", "Order now"),
    ("/admin/products/new", "administrator", "Add the product"),
    (f"/admin/products/{IN_STOCK}/stock", "administrator", "Add"),
]
"""A page with a form, who fills it in, and the button that sends it."""

RUN_AXE = "async options => (await axe.run(options)).violations"
ALL_RULES = {"resultTypes": ["violations"]}
COLORS = ALL_RULES | {"runOnly": ["color-contrast", "link-in-text-block"]}
"""Those rules of axe whose result depends on the theme."""


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("shown", PAGES, ids=lambda shown: shown.name)
def test_a_page_is_valid_and_accessible(visit, visitors, shown: Shown, language: str) -> None:
    who = visitors(shown.visitor)
    page = visit("about:blank", storage_state=who.state, locale=LANGUAGES[language], reduced_motion="reduce")
    answer = page.goto(who.path(shown))

    assert answer.status == shown.status
    assert page.locator("html").get_attribute("lang") == language
    assert faults_of_html(answer.text()) == []
    assert faults_of_axe(page) == []


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


def faults_of_html(text: str) -> list[str]:
    """Returns the errors of the parser of the HTML standard, and each ID that comes twice."""
    parser = html5lib.HTMLParser(tree=html5lib.getTreeBuilder("etree"))
    tree = parser.parse(text)
    errors = [f"line {line}: {html5lib.constants.E[code] % values}" for (line, _), code, values in parser.errors]
    ids = Counter(element.get("id") for element in tree.iter() if element.get("id"))
    return errors + [f"{count} elements have the ID {id}" for id, count in ids.items() if count > 1]


def faults_of_axe(page: Page) -> list[str]:
    """Returns each rule that is broken in one of the themes, with the element that breaks it."""
    page.evaluate(AXE_SCRIPT)
    violations = page.evaluate(RUN_AXE, ALL_RULES)
    page.emulate_media(color_scheme="dark")
    violations += page.evaluate(RUN_AXE, COLORS)
    return [f"{each['id']}: {node['html']} {node['failureSummary']}" for each in violations for node in each["nodes"]]
