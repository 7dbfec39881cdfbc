"""The storefront's pages, and who visits them: for the tests in a browser and for the screenshots."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, Page

from shopctl import demo

CATEGORIES = demo.load()
CATEGORY = CATEGORIES[0].slug
PRODUCTS = [product for category in CATEGORIES for product in category.products]
IN_STOCK = next(product.sku for product in PRODUCTS if product.stock > 100)
SCARCE = next(product.sku for product in PRODUCTS if 0 < product.stock < 5)
SOLD_OUT = next(product.sku for product in PRODUCTS if product.stock == 0)


@dataclass(frozen=True)
class Shown:
    """A page as a visitor sees it: one of VISITORS, who may fill its path."""

    name: str
    path: str
    visitor: str = "stranger"
    status: int = 200


PAGES = [
    Shown("home", "/"),
    Shown("not-found", "/no-such-page", status=404),
    Shown("api", "/api/docs"),
]


def stranger(_: Page) -> dict[str, str]:
    """Has no session."""
    return {}


VISITORS: dict[str, Callable[[Page], dict[str, str]]] = {"stranger": stranger}
"""What each visitor does before: with a page in a new browser. It returns values for paths, such as an order ID."""


@dataclass(frozen=True)
class Visitor:
    """A visitor's cookies, and values for the paths of pages."""

    state: Any
    values: dict[str, str]

    def path(self, shown: Shown) -> str:
        return shown.path.format(**self.values)


def visitor(browser: Browser, address: str, name: str) -> Visitor:
    """Lets a visitor do what VISITORS says, in a browser of its own."""
    context = browser.new_context(base_url=address, locale="en-US")
    try:
        values = VISITORS[name](context.new_page())
        return Visitor(context.storage_state(), values)
    finally:
        context.close()
