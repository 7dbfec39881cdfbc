"""Problems as pages, in the words of the shop: services report them in English, and for programs."""

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache

from fastapi import Request
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storefront.routes.languages import Language
from storefront.routes.pages import language_for, wants_html
from storefront.routes.visits import Parts, visiting

__all__ = ["ProblemPages", "Words", "words"]

log = logging.getLogger(__name__)

OFFICE = {"unknown-sku": "unknown-product", "order-not-found": "unknown-order"}
"""Problems for which the back office has words of its own."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a page says about a problem. `way` is a path that leads on, and the text of its link."""

    title: str
    advice: str
    way: tuple[str, str] | None = None


def words(language: Language, slug: str, status: int, *, office: bool = False) -> Words | None:
    """Returns the words for a problem; None if only the service's own detail can tell what is wrong."""
    known = _words(language)
    slug = OFFICE.get(slug, slug) if office else slug
    return known.get(slug) or known.get(str(status)) or (known["500"] if status >= 500 else None)


@lru_cache
def _words(language: Language) -> Mapping[str, Words]:
    """Returns the words by slug, and for the slugs without an entry by status."""
    _: Callable[[str], str] = language.texts.gettext
    safe = _("Your cart and your orders are safe. Please try again in a moment.")
    cart, orders = ("/cart", _("Go to the cart")), ("/orders", _("See your orders"))
    return {
        "404": Words(
            _("This page does not exist"), _("The address may be mistyped, or the page is gone. Search for a product.")
        ),
        "unknown-sku": Words(
            _("We do not sell this product"), _("It may have been taken out of the shop. Search for something similar.")
        ),
        "order-not-found": Words(
            _("There is no such order"),
            _("It may belong to another account, or to a guest on another device."),
            orders,
        ),
        "unknown-order": Words(
            _("There is no such order"),
            _("Check the order ID, or look for the order in the list."),
            ("/admin/orders", _("Customer orders")),
        ),
        "unknown-product": Words(
            _("There is no such product"),
            _("Check the SKU, or look for the product in the list."),
            ("/admin/products", _("Products")),
        ),
        "405": Words(_("There is nothing to see here"), _("This address only receives forms.")),
        "cross-site": Words(
            _("This form was sent from another site"),
            _("To protect you, we did nothing with it. Open the page in this shop and try again."),
        ),
        "scope-required": Words(_("This page is for staff only"), _("Log in with a staff account.")),
        "401": Words(_("Please log in"), _("This page is only for you, so we have to know who you are.")),
        "cart-changed": Words(
            _("Your cart has changed"), _("Perhaps it is open in another window. Check it and go on from there."), cart
        ),
        "cart-full": Words(_("Your cart is full"), _("Remove a product, then add the new one."), cart),
        "cart-empty": Words(_("Your cart is empty"), _("Put a product into it first.")),
        "cart-already-ordered": Words(
            _("You have ordered this cart already"), _("The order is in the list of your orders."), orders
        ),
        "in-flight": Words(
            _("Your order is being placed"), _("You will find it in the list of your orders in a moment."), orders
        ),
        "key-reused": Words(
            _("This form was used before"), _("Check the list of your orders before you order again."), orders
        ),
        "409": Words(
            _("Something has changed in the meantime"), _("Load the page again, and repeat what you wanted to do.")
        ),
        "412": Words(
            _("Something has changed in the meantime"), _("Load the page again, and repeat what you wanted to do.")
        ),
        "413": Words(
            _("This is too much text"), _("Go back: what you typed is still there. Shorten it, then send it again.")
        ),
        "invalid-form": Words(
            _("The form could not be read"), _("Go back: what you typed is still there. Then send it again.")
        ),
        "429": Words(_("That was a little fast"), _("Please wait a moment, then try again.")),
        "session-unavailable": Words(_("We cannot tell who you are right now"), safe),
        "catalog-unavailable": Words(_("Our products cannot be reached right now"), safe),
        "cart-unavailable": Words(_("The cart cannot be reached right now"), safe),
        "order-unavailable": Words(_("Orders cannot be reached right now"), safe),
        "identity-unavailable": Words(_("Accounts cannot be reached right now"), safe),
        "backlog": Words(_("Very many people are ordering right now"), safe),
        "503": Words(_("A part of the shop cannot be reached right now"), safe),
        "500": Words(_("Something went wrong on our side"), safe),
    }


class ProblemPages:
    """Pure ASGI middleware: shows a problem as a page if the client asks for HTML."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not wants_html(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        start: Message | None = None
        body: list[bytes] = []

        async def replaced(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_problem(message):
                start = message
                return
            if start is None:
                await send(message)
                return
            body.append(message.get("body", b""))
            if not message.get("more_body"):
                answer = await _page(Request(scope), start, b"".join(body))
                await answer(scope, receive, send)

        await self.app(scope, receive, replaced)


def _is_problem(start: Message) -> bool:
    return Headers(raw=start["headers"]).get("content-type") == "application/problem+json"


async def _page(request: Request, start: Message, body: bytes) -> Response:
    """Returns the page; if it fails itself, the problem as it is."""
    try:
        return await _rendered(request, start["status"], Headers(raw=start["headers"]), json.loads(body))
    except Exception:
        log.exception("the page of a problem failed")
        return Response(body, start["status"], Headers(raw=start["headers"]))


async def _rendered(request: Request, status: int, headers: Headers, problem: Mapping[str, str]) -> Response:
    parts: Parts = request.app.state.parts
    slug = str(problem["type"]).rpartition("/")[2]
    wait = headers.get("retry-after", "")
    kept = {name: value for name, value in headers.items() if name in ("retry-after", "allow")}
    kept["Cache-Control"] = "no-store"  # other clients get the problem at the same address
    async with AsyncExitStack() as stack:
        if not hasattr(request.state, "visit"):  # no route was reached
            await stack.enter_async_context(asynccontextmanager(visiting)(request, parts))
        return await parts.pages.render(
            request,
            "problem.html",
            status,
            kept,
            words=words(language_for(request), slug, status, office=request.url.path.startswith("/admin")),
            problem=problem,
            code=status,
            wait=int(wait) if wait.isdigit() else 0,
        )
