"""The site that `make docs` built is complete without a network, and a build fails on each kind of fault."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright
from visitors import chromium

from chassis.local.system import MissingProgram

ROOT = Path(__file__).parents[2]
SITE = ROOT / ".run/site"
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
WITH_DIAGRAM = [page for page in PAGES if '<pre class="mermaid">' in (SITE / page).read_text()]

FAULTS = {
    "[a dead link](no-such-page.md)": "'no-such-page.md', but the target is not found",
    "[a missing source file](../services/order/no_such_file.py)": "no_such_file.py', but the target",
    "[an unknown anchor](architecture.md#no-such-heading)": "does not contain an anchor '#no-such-heading'",
}


class Loaded(HTMLParser):
    """Collects the addresses that a browser asks when it shows a page, and the comments."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.comments: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        found = names.get("href") if tag == "link" and names.get("rel") != "canonical" else names.get("src")
        self.addresses += [found] if found else []

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        try:
            started = chromium(playwright)
        except MissingProgram as missing:
            pytest.skip(f"{missing}; `shopctl packages` installs it")
        with started:
            yield started


@pytest.fixture
def reader(browser: Browser) -> Iterator[BrowserContext]:
    """A reader without a network, who opens the files of the site. Nothing asks another host."""
    with browser.new_context(offline=True, viewport={"width": 1280, "height": 800}) as context:
        asked: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        yield context
        assert [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_nothing_from_another_host_and_shows_no_comment(page: str) -> None:
    loaded = Loaded()
    loaded.feed((SITE / page).read_text())
    assert [address for address in loaded.addresses if re.match(r"\w+:(?!image/)|//", address)] == []
    assert loaded.comments == []


@pytest.mark.parametrize("page", WITH_DIAGRAM)
def test_every_diagram_is_drawn(reader: BrowserContext, page: str) -> None:
    count = (SITE / page).read_text().count('<pre class="mermaid">')
    shown = reader.new_page()
    faults: list[str] = []
    shown.on("pageerror", lambda error: faults.append(str(error)))
    shown.goto((SITE / page).as_uri())
    expect(shown.locator("div.mermaid")).to_have_count(count, timeout=30_000)
    assert faults == []


def test_the_search_finds_pages_without_a_server(reader: BrowserContext) -> None:
    page = reader.new_page()
    page.goto((SITE / "index.html").as_uri())
    page.get_by_label("Search").first.click()
    page.keyboard.type("idempotency")
    expect(page.locator(".md-search-result__item").first).to_be_visible(timeout=30_000)


def test_the_search_knows_every_page() -> None:
    found = json.loads((SITE / "search/search_index.json").read_text())["docs"]
    assert {*PAGES} - {"404.html"} <= {entry["location"].partition("#")[0] or "index.html" for entry in found}


def test_formulas_need_no_script() -> None:
    assert [page for page in PAGES if "arithmatex" in (SITE / page).read_text()] == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the clone, whose site can be built."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.rstrip("\0").split("\0"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():  # not a link to a folder
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def said_by_failing_build(copy: Path) -> str:
    env = os.environ | {"PYTHONPATH": f"{copy / 'services/order/src'}:{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-m", "mkdocs", "build"]
    built = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=False)
    assert built.returncode == 1, built.stderr
    return built.stderr


def test_each_kind_of_fault_fails_the_build(copy: Path) -> None:
    (copy / "docs/not-in-the-navigation.md").write_text("# A page\n")
    with (copy / "docs/glossary.md").open("a") as page:
        page.write("\n" + "\n".join(FAULTS))
    said = said_by_failing_build(copy)
    assert [fault for fault in [*FAULTS.values(), "not-in-the-navigation.md"] if fault not in said] == []


def test_a_setting_without_a_meaning_fails_the_build(copy: Path) -> None:
    with (copy / "services/order/src/order/settings.py").open("a") as settings:
        settings.write("    added: int = 1\n")
    assert "order.settings: added has no docstring" in said_by_failing_build(copy)
