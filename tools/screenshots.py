"""Writes a picture of each page of the running shop to .run/screenshots; with --docs, those of the README.

The guest, the shopper and the administrator of `tests/visitors.py` look at their pages, so the shop has two new orders.
"""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Annotated

import typer
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import Error as BrowserError
from visitors import PAGES, VISITORS, Visitor, chromium, visitor

from shopctl.console import fail, out
from shopctl.place import Place

ROOT = Path(__file__).parents[1]
WIDTHS = {"390": (390, 844), "1280": (1280, 960)}
LOCALES = {"en": "en-US", "zh": "zh-CN"}
THEMES = ("light", "dark")

DOCS = {"home": "light", "order": "dark", "office": "light"}
"""The pictures of the README, with their theme."""
MOST_BYTES = 100_000


def main(docs: Annotated[bool, typer.Option("--docs", help="Write docs/images instead.")] = False) -> None:
    """Write a picture of each page of the running shop to .run/screenshots."""
    place = Place.here()
    try:
        with sync_playwright() as playwright, chromium(playwright) as browser:
            visitors = {name: visitor(browser, place.address, name) for name in VISITORS}
            if docs:
                written = [*picture_docs(browser, place.address, visitors, ROOT / "docs" / "images")]
            else:
                written = [*picture_all(browser, place.address, visitors, place.run / "screenshots")]
    except BrowserError as error:
        fail(f"The pictures could not be taken: {error}\nDoes the shop run? `make up` starts it.")
    out.print(f"Wrote {len(written)} pictures to {written[0].parent}")


def picture_all(browser: Browser, address: str, visitors: dict[str, Visitor], folder: Path) -> Iterator[Path]:
    """Writes every page in each width and theme, and in Chinese in one of them."""
    wanted = [*product(WIDTHS, THEMES, ["en"]), ("390", "light", "zh")]
    for (width, theme, locale), (name, who) in product(wanted, visitors.items()):
        with opened(browser, address, who, width, theme, locale) as page:
            for shown in (each for each in PAGES if each.visitor == name):
                page.goto(who.path(shown))
                file = folder / f"{shown.name}-{width}-{theme}{'' if locale == 'en' else f'-{locale}'}.png"
                page.screenshot(path=file, full_page=True)
                yield file


def picture_docs(browser: Browser, address: str, visitors: dict[str, Visitor], folder: Path) -> Iterator[Path]:
    """Writes what a window shows of these pages as WebP, with less than MOST_BYTES each."""
    folder.mkdir(exist_ok=True)
    for shown in (each for each in PAGES if each.name in DOCS):
        who = visitors[shown.visitor]
        with opened(browser, address, who, "1280", DOCS[shown.name], "en") as page:
            page.goto(who.path(shown))
            for hidden in page.get_by_text("Behind the scenes", exact=True).all():
                hidden.click()
            page.wait_for_load_state("networkidle")
            taken = page.context.new_cdp_session(page).send("Page.captureScreenshot", {"format": "webp", "quality": 80})
        picture = base64.b64decode(taken["data"])
        if len(picture) >= MOST_BYTES:
            fail(f"The picture of {shown.name} has {len(picture)} bytes, which is too much for the README.")
        file = folder / f"{shown.name}.webp"
        file.write_bytes(picture)
        yield file


@contextmanager
def opened(browser: Browser, address: str, who: Visitor, width: str, theme: str, locale: str) -> Iterator[Page]:
    wide, high = WIDTHS[width]
    context = browser.new_context(
        base_url=address,
        viewport={"width": wide, "height": high},
        color_scheme="dark" if theme == "dark" else "light",
        locale=LOCALES[locale],
        reduced_motion="reduce",
        storage_state=who.state,
    )
    try:
        yield context.new_page()
    finally:
        context.close()


if __name__ == "__main__":
    typer.run(main)
