"""What a page must keep to in a browser: the HTML standard, the rules of accessibility of axe; and nothing moves."""

from collections import Counter

import html5lib
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

RUN_AXE = "async options => (await axe.run(options)).violations"
ALL_RULES = {"resultTypes": ["violations"]}
COLORS = ALL_RULES | {"runOnly": ["color-contrast", "link-in-text-block"]}
"""Those rules of axe whose result depends on the theme."""

RECORD_SHIFTS = """
    window.shifts = []
    new PerformanceObserver(list => shifts.push(...list.getEntries().filter(entry => entry.value >= .0005).map(
        entry => [entry.value, entry.sources.map(({node, previousRect, currentRect}) =>
            [node?.outerHTML?.slice(0, 200), previousRect.toJSON(), currentRect.toJSON()])]
    ))).observe({type: "layout-shift", buffered: true})
"""
"""Records how far elements move by themselves, as in Cumulative Layout Shift, and which, from where to where."""


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
