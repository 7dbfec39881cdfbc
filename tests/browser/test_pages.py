"""What every page must be: without an error, accessible, and valid HTML."""

from axe_playwright_python.sync_playwright import Axe


def test_the_first_page_is_accessible(visit) -> None:
    page = visit("/")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
