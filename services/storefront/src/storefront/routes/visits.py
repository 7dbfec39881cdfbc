"""Who makes a request: the dependency that reads the session cookie, and the parts that routes get from `main`."""

import asyncio
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Request
from starlette.responses import Response

from chassis.app import parts
from chassis.errors import Problem
from storefront.repository import Sessions
from storefront.routes.forms import see_other
from storefront.routes.pages import Pages
from storefront.usecases.remote import Carts, Catalog, Identity, Ordering
from storefront.usecases.sessions import SessionEnded, Visit

__all__ = ["COOKIE", "Given", "Parts", "Visiting", "on_session_ended", "remember"]

COOKIE = "session"


@dataclass(frozen=True, slots=True)
class Parts:
    """The objects that the routes need."""

    sessions: Sessions
    pages: Pages
    catalog: Catalog
    carts: Carts
    identity: Identity
    orders: Ordering


Given = Annotated[Parts, Depends(parts(Parts))]


async def visiting(request: Request, given: Given) -> Visit:
    """Reads the session, and begins to count the cart for the header of the page."""
    visit = Visit(given.sessions, given.identity, request.cookies.get(COOKIE))
    await visit.load()
    request.state.visit = visit
    if visit.session is not None and request.method == "GET":
        request.state.count = asyncio.ensure_future(_count(given.carts, visit))
    return visit


Visiting = Annotated[Visit, Depends(visiting)]


async def _count(carts: Carts, visit: Visit) -> int | None:
    """Returns how many articles the cart holds; None if that cannot be found out now."""
    try:
        return (await carts.get(await visit.token())).count
    except (Problem, SessionEnded):
        return None


def remember(request: Request, response: Response, visit: Visit, days: int = 30) -> Response:
    """Makes the browser keep the session's ID, or forget it, if the visit has another one than the cookie."""
    if visit.id == request.cookies.get(COOKIE):
        return response
    secure = request.url.scheme == "https"
    if visit.id is None:
        response.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=secure)
    else:
        response.set_cookie(COOKIE, visit.id, max_age=days * 86_400, httponly=True, samesite="lax", secure=secure)
    return response


async def on_session_ended(request: Request, _: Exception) -> Response:
    """Asks for a new login, and returns afterwards; after a POST, to the first page."""
    here = request.url.path if request.method == "GET" else "/"
    answer = see_other(f"/login?{urlencode({'to': here, 'ended': 1})}")
    answer.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=request.url.scheme == "https")
    return answer
