"""A visit with a browser: the storefront's pages, with their styles, scripts and pictures, and its forms."""

import re
import sys
import time
from html import unescape
from typing import Any
from urllib.parse import urlencode

import gevent
import msgspec

from personas.answer import Answer
from personas.shop import ADDRESS, OPEN, SETTLED_WITHIN, arrived, watched
from personas.shopper import Shopper

__all__ = ["Pages"]

ASSET = re.compile(r'(?:href|src)="(/(?:static|pictures)/[^"#]+)')
CATEGORY = re.compile(r'href="(/c/[^"?]+)"')
PRODUCT = re.compile(r'href="/p/([^"?]+)"')
HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
MOST = re.compile(r'name="quantity"[^>]* max="(\d+)"')
FORMS = re.compile(r'<form[^>]* action="([^"]*)" method="post".*?</form>', re.DOTALL)
RECONNECTS_AFTER = 3.0
"""Seconds after which a browser opens a stream of events again."""
HEADERS = {"Accept": "text/html", "Accept-Language": "en"}
SENDING = {**HEADERS, "Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}


class Pages:
    """A visit that uses the pages. The browser's cache is empty at first, and then keeps what the pages need."""

    def __init__(self, person: Shopper) -> None:
        self.person = person
        self._cached: set[str] = set()
        self._categories: list[str] = []
        self._page = ""

    def home(self) -> list[str]:
        self._get("home", "/")
        self._categories = CATEGORY.findall(self._page)
        return self._products()

    def category(self) -> list[str]:
        if not self._categories:
            return []
        self._get("category", *self.person.pick(self._categories))
        return self._products()

    def search(self, words: str) -> list[str]:
        self._get("search", f"/search?q={words}")
        return self._products()

    def product(self, sku: str) -> int | None:
        if not self._get("product", f"/p/{sku}").ok:
            return None
        most = MOST.search(self._page)
        return int(most[1]) if most else 0

    def put(self, sku: str, quantity: int = 1) -> Answer:
        """Sends the form of the product's page, which must be the last one."""
        action = "/cart/items/add"
        return self._send("add to cart", action, {**self._hidden(action), "quantity": str(quantity)})

    def look_at_cart(self) -> None:
        self._get("cart", "/cart")

    def order(self, card: str = "tok_visa") -> Answer:
        """Sends the form of the checkout: the one that is shown, with a new total after a refusal, or a new one."""
        form = self._hidden("/checkout")
        if not form:
            self._get("checkout", "/checkout")
            form = self._hidden("/checkout")
        if "key" not in form:  # the cart's page has something to say first
            return Answer(409, 0, slug="no-checkout")
        form |= {**ADDRESS, "line2": "", "card": card}
        content = urlencode(form)

        def once() -> Answer:
            attempt = self.person.journal.sends(form["key"], None)
            answer = self.person.send("page: order", "POST", "/checkout", content=content, headers=SENDING)
            id = re.fullmatch(r"/orders/([^/?]+)(\?.*)?", answer.location)
            placed = bool(id) and answer.status == 303
            self.person.journal.answered(attempt, 202 if placed else answer.status, id[1] if id else None)
            return msgspec.structs.replace(answer, status=202, data={"id": id[1]}) if id and placed else answer

        answer = self.person.patiently(once)
        if answer.page and answer.status == 409:
            self._page = answer.data
            answer = msgspec.structs.replace(answer, slug="price-changed")
        return answer

    def watch(self, order: Answer) -> str:
        """Looks at the order's page, follows its events until the last, and then looks again, as its script does."""
        path, end = f"/orders/{order.data['id']}", time.monotonic() + SETTLED_WITHIN
        steps: list[dict[str, Any]] = []
        self._get("order status", path)
        with watched(self.person, order):
            while (left := end - time.monotonic()) > 0:
                steps += self._events(path, len(steps), left)
                if steps and steps[-1]["status"] not in OPEN:
                    break
                gevent.sleep(RECONNECTS_AFTER)
        arrived(self.person, order, steps)
        self._get("order status", path)
        return str(steps[-1]["status"]) if steps else "PENDING"

    def _events(self, path: str, seen: int, seconds: float) -> list[dict[str, Any]]:
        """Returns an order's steps after the first `seen`, when their stream ends."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(seen)}
        answer = self.person.send(
            "page: events", "GET", f"{path}/events", headers=headers, timeout=seconds, timed=False
        )
        text = answer.data if answer.ok and answer.data else ""  # a refusal is a problem document
        return [msgspec.json.decode(line) for line in re.findall(r"^data: (.*)$", text, re.MULTILINE)]

    def _get(self, step: str, path: str) -> Answer:
        answer = self.person.call(f"page: {step}", "GET", path, headers=HEADERS)
        self._page = answer.data if answer.ok and answer.page else ""
        for url in dict.fromkeys(ASSET.findall(self._page)):
            if url not in self._cached:
                self._cached.add(sys.intern(url))
                self.person.call("page: file", "GET", url)
        return answer

    def _send(self, step: str, action: str, form: dict[str, str]) -> Answer:
        """Sends a form once, and gets the page to which the answer leads."""
        answer = self.person.send(f"page: {step}", "POST", action, content=urlencode(form), headers=SENDING)
        if answer.status == 303:
            self._get("cart", answer.location)
        return answer

    def _hidden(self, action: str) -> dict[str, str]:
        """Returns the hidden fields of a form of the page, as they are; none if the page has no such form."""
        form = next((each[0] for each in FORMS.finditer(self._page) if each[1] == action), "")
        return {name: unescape(value) for name, value in HIDDEN.findall(form)}

    def _products(self) -> list[str]:
        return list(dict.fromkeys(PRODUCT.findall(self._page)))
