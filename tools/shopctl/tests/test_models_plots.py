"""The plots of the pages are the same each time, valid, and each is on a page."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from shopctl.models.plots import PLOTS

PAGES = Path(__file__).parents[3] / "docs/models"


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_drawn_and_stands_on_a_page(name: str) -> None:
    svg = PLOTS[name]()
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert any(f"(plots/{name})" in page.read_text() for page in PAGES.glob("*.md"))


def test_a_plot_is_the_same_each_time() -> None:
    name = next(iter(PLOTS))
    assert PLOTS[name]() == PLOTS[name]()
