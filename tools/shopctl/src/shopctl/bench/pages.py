"""Measures pages of the storefront: what one costs there and in all, from the services and from the edge's cache."""

import asyncio
import re
from dataclasses import dataclass
from http.cookiejar import CookieJar
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener

from shopctl.bench.checkout import ADDRESS, settled
from shopctl.bench.client import LoadFailed, request, send
from shopctl.bench.figures import Figure, percentile
from shopctl.bench.usage import measured
from shopctl.shop import Shop

__all__ = ["pages"]

CONNECTIONS = 8
BROWSERS = 50
LINKS = {"category": r'href="(/c/[^"?]+)"', "product": r'href="(/p/[^"?]+)"'}


@dataclass(frozen=True)
class Visitor:
    """A guest with a confirmed order and a cart: the pages to read by name, and the session's cookie."""

    shared: dict[str, str]
    own: dict[str, str]
    cookie: str


async def pages(shop: Shop, seconds: float) -> list[Figure]:
    """Measure each page without the cache, pages for everyone also from it, and all together for 50 browsers."""
    visitor = await asyncio.to_thread(_visit, shop)
    await settled(shop)
    figures: list[Figure] = []
    for name, path in visitor.shared.items():
        figures += await _measure(shop, f"{name}, cold", [_page(path, Authorization="Bearer x")], seconds)
        figures += await _measure(shop, f"{name}, cached", [_page(path)], seconds)
    for name, path in visitor.own.items():
        figures += await _measure(shop, name, [_page(path, f"session={visitor.cookie}")], seconds)
    mixed = [_page(path) for path in visitor.shared.values()]
    mixed += [_page(path, f"session={visitor.cookie}") for path in (*visitor.shared.values(), *visitor.own.values())]
    return figures + await _browsers(shop, mixed, seconds)


async def _measure(shop: Shop, name: str, requests: list[str], seconds: float) -> list[Figure]:
    with measured(shop) as usage:
        answers = await send(
            shop.address("edge"), requests, expect=200, connections=CONNECTIONS, seconds=seconds, keep_bodies=False
        )
    return [
        Figure("pages", f"{name}: CPU of storefront", 1000 * usage.of("storefront") / len(answers), "ms per page"),
        Figure("pages", f"{name}: CPU of all", 1000 * usage.total / len(answers), "ms per page"),
    ]


async def _browsers(shop: Shop, requests: list[str], seconds: float) -> list[Figure]:
    answers = await send(
        shop.address("edge"), requests, expect=200, connections=BROWSERS, seconds=seconds, keep_bodies=False
    )
    took = [answer.took for answer in answers]
    return [
        Figure("pages", f"{BROWSERS} browsers: pages per second", len(answers) / seconds, "/s"),
        Figure("pages", f"{BROWSERS} browsers: p95", 1000 * percentile(took, 0.95), "ms"),
    ]


def _page(path: str, cookie: str = "", **headers: str) -> str:
    """Return a request for a page; with a session or an Authorization it bypasses the edge's cache."""
    headers |= {"Accept": "text/html", "Accept_Language": "en", "Accept_Encoding": "gzip"}
    return request("GET", path, **headers, **({"Cookie": cookie} if cookie else {}))


def _visit(shop: Shop) -> Visitor:
    """Shop as a person does: order a product, and put it into the cart again. Raises LoadFailed."""
    host, port = shop.address("edge")
    jar = CookieJar()
    opener = build_opener(ProxyHandler({}), HTTPCookieProcessor(jar))

    def load(path: str, form: dict[str, str] | None = None) -> tuple[str, str]:
        """Return the path of the page that the shop leads to, and the page."""
        body = None if form is None else urlencode(form).encode()
        asked = Request(f"http://{host}:{port}{path}", body, {"Accept": "text/html", "Accept-Language": "en"})
        with opener.open(asked, timeout=10) as answer:
            return answer.url.removeprefix(f"http://{host}:{port}"), answer.read().decode()

    _, home = load("/")
    shared = {"home": "/", **{name: _found(pattern, home, "the first page") for name, pattern in LINKS.items()}}
    line = {"sku": shared["product"].removeprefix("/p/"), "quantity": "1"}
    load("/cart/items", line)
    _, form = load("/checkout")
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))
    order, _ = load("/checkout", {**hidden, **ADDRESS, "line2": "", "card": "tok_visa"})
    _found(r"^/orders/([^/?]+)$", order, "the checkout")
    load("/cart/items", line)
    session = next(cookie.value for cookie in jar if cookie.name == "session")
    return Visitor(shared, {"cart": "/cart", "order": order}, session or "")


def _found(pattern: str, text: str, where: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise LoadFailed(f"{where} leads to no {pattern}: `make seed` adds products")
    return found[1]
