"""The storefront's pages, and who visits them: for the tests in a browser and for the screenshots."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, Page, Playwright

from shopctl import demo
from shopctl.native.packages import browser as chromium_program
from shopctl.place import ADMIN_EMAIL, ADMIN_PASSWORD, SHOPPER_EMAIL, SHOPPER_PASSWORD

CATEGORIES = demo.load()
CATEGORY = CATEGORIES[0].slug
PRODUCTS = [product for category in CATEGORIES for product in category.products]
IN_STOCK = next(product.sku for product in PRODUCTS if product.stock > 100)
SCARCE = next(product.sku for product in PRODUCTS if 0 < product.stock < 5)
SOLD_OUT = next(product.sku for product in PRODUCTS if product.stock == 0)

ADDRESS = {"Full name": "Ann Lee", "Street and number": "Quay 1", "Postal code": "5003", "City": "Bergen"}
"""What a shopper types at the checkout, by the label of the field; the country is Norway."""


def chromium(playwright: Playwright) -> Browser:
    """Starts the system's Chromium without a screen."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses its sandbox to root
    return playwright.chromium.launch(executable_path=chromium_program(), args=arguments)


@dataclass(frozen=True)
class Shown:
    """A page as a visitor sees it: one of VISITORS, who may fill its path."""

    name: str
    path: str
    visitor: str = "stranger"
    status: int = 200


PAGES = [
    Shown("home", "/"),
    Shown("category", f"/c/{CATEGORY}"),
    Shown("no-category", "/c/no-such-category", status=404),
    Shown("search", "/search?q=soap"),
    Shown("filtered", "/search?q=soap&min=5&max=20&in_stock=true&sort=price"),
    Shown("nothing-found", "/search?q=zzzzzz"),
    Shown("wrong-filter", "/search?q=soap&min=much", status=422),
    Shown("product", f"/p/{IN_STOCK}"),
    Shown("last-ones", f"/p/{SCARCE}"),
    Shown("sold-out", f"/p/{SOLD_OUT}"),
    Shown("no-product", "/p/NO-SUCH-PRODUCT", status=404),
    Shown("empty-cart", "/cart"),
    Shown("cart", "/cart", "guest"),
    Shown("checkout", "/checkout", "guest"),
    Shown("order", "/orders/{order}", "guest"),
    Shown("declined", "/orders/{declined}", "guest"),
    Shown("orders", "/orders", "guest"),
    Shown("no-orders", "/orders"),
    Shown("login", "/login"),
    Shown("register", "/register"),
    Shown("account", "/account", "shopper"),
    Shown("forbidden", "/admin", "shopper", status=403),
    Shown("office", "/admin", "administrator"),
    Shown("office-products", "/admin/products", "administrator"),
    Shown("office-new", "/admin/products/new", "administrator"),
    Shown("office-product", f"/admin/products/{IN_STOCK}", "administrator"),
    Shown("office-stock", f"/admin/products/{IN_STOCK}/stock", "administrator"),
    Shown("office-orders", "/admin/orders", "administrator"),
    Shown("office-order", "/admin/orders/{order}", "administrator"),
    Shown("office-refund", "/admin/orders/{order}/refund", "administrator"),
    Shown("office-live", "/admin/live", "administrator"),
    Shown("not-found", "/no-such-page", status=404),
    Shown("api", "/api/docs"),
]


def stranger(_: Page) -> dict[str, str]:
    """Has no session."""
    return {}


def guest(page: Page) -> dict[str, str]:
    """Has ordered twice, once with a declined card, and has a cart."""
    declined = buy(page, IN_STOCK, card="A declined card")
    page.get_by_role("heading", name="Payment refused").wait_for()
    id = buy(page, IN_STOCK)
    page.get_by_role("heading", name="Paid and confirmed").wait_for()
    put_into_cart(page, SCARCE)
    return {"order": id, "declined": declined}


def shopper(page: Page) -> dict[str, str]:
    """Has an account."""
    log_in(page, SHOPPER_EMAIL, SHOPPER_PASSWORD)
    return {}


def administrator(page: Page) -> dict[str, str]:
    """Has ordered something too."""
    log_in(page, ADMIN_EMAIL, ADMIN_PASSWORD)
    id = buy(page, IN_STOCK)
    page.get_by_role("heading", name="Paid and confirmed").wait_for()
    return {"order": id}


VISITORS: dict[str, Callable[[Page], dict[str, str]]] = {
    each.__name__: each for each in (stranger, guest, shopper, administrator)
}
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


def put_into_cart(page: Page, sku: str) -> None:
    page.goto(f"/p/{sku}")
    page.get_by_role("button", name="Add to cart").click()
    added = page.get_by_role("status").filter(has_text="in your cart")
    added.or_(page.get_by_role("heading", name="Cart", level=1)).first.wait_for()  # with JavaScript, or without


def check_out(page: Page, card: str = "A good card") -> None:
    """Fills in the checkout's form, up to its button."""
    page.goto("/checkout")
    for label, text in ADDRESS.items():
        page.get_by_label(label, exact=True).fill(text)
    page.get_by_label("Country").select_option("Norway")
    page.get_by_role("radio", name=card).check()


def order(page: Page, button: str = "Order now") -> str:
    """Sends the checkout's form, and returns the order ID."""
    page.get_by_role("button", name=button).click()
    page.wait_for_url("**/orders/*")
    return page.url.rpartition("/")[2]


def buy(page: Page, *skus: str, card: str = "A good card") -> str:
    for sku in skus:
        put_into_cart(page, sku)
    check_out(page, card)
    return order(page)


def log_in(page: Page, email: str, password: str) -> None:
    page.goto("/login")
    page.get_by_label("Email address").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Log in").wait_for(state="detached")
