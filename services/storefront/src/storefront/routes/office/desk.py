"""What all pages of the back office share: who may see them, and how they are rendered."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from fastapi import Depends, Request
from starlette.responses import Response

from chassis.errors import Forbidden, NotFound, Problem
from storefront.routes.forms import here, see_other
from storefront.routes.languages import Language
from storefront.routes.pages import PRIVATE, language_for
from storefront.routes.visits import Given, Parts, Visiting, on_session_ended
from storefront.schemas import ID, SKU
from storefront.usecases.office import Office

__all__ = [
    "CATALOG",
    "ORDERS",
    "Desk",
    "LoginRequired",
    "OrderId",
    "Sku",
    "address",
    "desk",
    "found",
    "on_login_required",
    "unknown_order",
]

log = logging.getLogger(__name__)

CATALOG = "catalog:write"
ORDERS = "orders:manage"

T = TypeVar("T")


class LoginRequired(Exception):
    """The page is for accounts, and nobody is logged in."""


async def on_login_required(request: Request, error: Exception) -> Response:
    """Asks for a login, and returns to the page afterwards. A form was shown before the session ended."""
    if request.method == "POST":
        return await on_session_ended(request, error)
    return see_other(f"/login?{urlencode({'to': here(request)})}")


@dataclass(frozen=True, slots=True)
class Desk:
    """A request of a manager; `token` is the manager's access token, and `scopes` are its own."""

    request: Request
    given: Parts
    token: str
    scopes: frozenset[str]

    @property
    def office(self) -> Office:
        return self.given.office

    @property
    def language(self) -> Language:
        return language_for(self.request)

    async def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """Renders a page, which no cache keeps. `done` names what the POST before it did."""
        common = {"scopes": self.scopes, "done": self.request.query_params.get("done", ""), **values}
        return await self.given.pages.render(self.request, template, status, PRIVATE, **common)


def desk(*scopes: str) -> Callable[..., Awaitable[Desk]]:
    """Returns a dependency that returns the manager's Desk.

    It raises LoginRequired without a login, Forbidden if the account has none of these scopes, and Unavailable.
    """

    async def opened(request: Request, given: Given, visit: Visiting) -> Desk:
        await visit.certain()
        if visit.session is None or not visit.session.signed_in:
            raise LoginRequired
        token = await visit.token()
        own = visit.session.tokens.scopes
        if not own.intersection(scopes):
            raise Forbidden(
                "scope-required",
                "This page is for the people who run the shop",
                "Log in with an account that may see it.",
            )
        return Desk(request, given, token, own)

    return opened


async def found(part: Awaitable[T]) -> T | None:
    """Returns a part of a page, or None if its service fails: the page then shows a notice in its place."""
    try:
        return await part
    except Problem as error:
        log.warning("a part of a page is missing: %s", error)
        return None


def address(path: str, query: Mapping[str, object]) -> str:
    """Returns a path with those parameters that are set."""
    given = urlencode({name: value for name, value in query.items() if value not in (None, "")})
    return path + (f"?{given}" if given else "")


def _sku(sku: str) -> str:
    if not SKU.fullmatch(sku):
        raise NotFound("unknown-sku", "There is no such product", "Look for it in the list of products.")
    return sku


def _order_id(order_id: str) -> str:
    if not ID.fullmatch(order_id):
        raise unknown_order()
    return order_id


def unknown_order() -> NotFound:
    return NotFound("unknown-order", "There is no such order", "Look for it in the list of orders.")


Sku = Annotated[str, Depends(_sku)]
OrderId = Annotated[str, Depends(_order_id)]
