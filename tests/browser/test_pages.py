"""What every page must be: without an error, accessible in both themes, valid HTML, and in the visitor's language."""

from collections import Counter

import html5lib
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page
from visitors import PAGES, Shown

LANGUAGES = {"en": "en-US", "zh-Hans": "zh-CN"}
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
    assert faults_of_html(answer.text()) == []
    assert page.locator("html").get_attribute("lang") == language
    page.evaluate(AXE_SCRIPT)
    assert faults_of_axe(page, ALL_RULES) == []
    page.emulate_media(color_scheme="dark")
    assert faults_of_axe(page, COLORS) == []


def faults_of_html(text: str) -> list[str]:
    """Returns the errors of the parser of the HTML standard, and each ID that comes twice."""
    parser = html5lib.HTMLParser(tree=html5lib.getTreeBuilder("etree"))
    tree = parser.parse(text)
    errors = [f"line {line}: {html5lib.constants.E[code] % values}" for (line, _), code, values in parser.errors]
    ids = Counter(element.get("id") for element in tree.iter() if element.get("id"))
    return errors + [f"{count} elements have the ID {id}" for id, count in ids.items() if count > 1]


def faults_of_axe(page: Page, options: dict) -> list[str]:
    """Returns each broken rule with the element that breaks it; the page has loaded axe."""
    violations = page.evaluate("async options => (await axe.run(options)).violations", options)
    return [f"{each['id']}: {node['html']} {node['failureSummary']}" for each in violations for node in each["nodes"]]
