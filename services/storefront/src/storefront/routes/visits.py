"""Who makes a request: the dependency that reads the session cookie, and the parts that routes get from `main`."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Request
from starlette.responses import Response

from chassis.app import parts
from chassis.errors import Invalid, Problem
from chassis.failures import on_problem
from storefront.repository import Sessions
from storefront.routes.cookies import COOKIE
from storefront.routes.forms import SECRET, Form, asked, form_of, here, see_other
from storefront.routes.pages import PRIVATE, Pages, soon, wants_html
from storefront.usecases.live import Live
from storefront.usecases.office import Office
from storefront.usecases.remote import Carts, Catalog, Identity, Ordering, Refused
from storefront.usecases.sessions import SessionEnded, Visit, cart_token

__all__ = ["Given", "Parts", "Visiting", "on_refused", "on_session_ended"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """The objects that the routes need."""

    sessions: Sessions
    pages: Pages
    catalog: Catalog
    carts: Carts
    identity: Identity
    orders: Ordering
    office: Office
    live: Live | None
    currency: str
    cards: Sequence[str]


Given = Annotated[Parts, Depends(parts(Parts))]


async def visiting(request: Request, given: Given) -> AsyncIterator[Visit]:
    """Reads the session, and counts the cart for the header of a page.

    For a GET, counting begins at once. For another request it begins when a page is rendered, because most answers to a
    form are redirects. What runs beside the request ends before it does.
    """
    visit = Visit(given.sessions, given.identity, request.cookies.get(COOKIE))
    await visit.load()
    request.state.visit = visit
    count: asyncio.Task[int | None] | None = None

    def counting() -> asyncio.Task[int | None] | None:
        nonlocal count
        if count is None and visit.session is not None and wants_html(request.headers):
            count = asyncio.create_task(_count(given.carts, visit), name="count of the cart")
        return count

    request.state.counting = counting
    if request.method == "GET":
        counting()
    try:
        yield visit
    except Problem:
        counting()  # the page of a problem shows it too
        raise
    finally:
        request.state.counting = lambda: count
        if count is not None:
            await soon(count)
            count.cancel()
        await visit.close()


Visiting = Annotated[Visit, Depends(visiting)]


async def _count(carts: Carts, visit: Visit) -> int | None:
    """Returns how many articles the cart holds; None if that cannot be found out now."""
    try:
        return (await carts.get(await cart_token(carts, visit))).count
    except (Problem, SessionEnded):
        return None
    except Exception:  # the page has no number then, but it is there
        log.exception("counting the cart failed")
        return None


async def on_session_ended(request: Request, _: Exception) -> Response:
    """Asks for a new login. A GET is repeated afterwards; a POST gets a page that keeps its form, to send it again.

    The cookie stays: deleting it here could delete the new session's, if the login was faster than this answer.
    """
    if (form := await _form_to_keep(request)) is None:
        return see_other(f"/login?{urlencode({'to': here(request), 'ended': 1})}")
    given: Parts = request.app.state.parts
    return await given.pages.render(request, "ended.html", 401, PRIVATE, action=asked(request), form=form)


async def _form_to_keep(request: Request) -> Form | None:
    """Returns the form of a POST; None if it cannot be read, or has a password, which no page may contain."""
    if request.method != "POST":
        return None
    try:
        form = await form_of(request)
    except Invalid:
        return None
    return None if SECRET & form.keys() else form


async def on_refused(request: Request, error: Exception) -> Response:
    """Ends a session whose access token a service refuses, such as one that a lost key has signed.

    An account then has to log in. A guest's page is loaded again, for a stranger, and a guest's form gets a new session
    when it is sent again.
    """
    visit: Visit | None = getattr(request.state, "visit", None)
    if isinstance(error, Refused) and error.status == 401 and visit is not None and visit.session is not None:
        account = visit.session.signed_in
        try:
            await visit.end()
        except Problem as failure:  # the page would be refused again, and again
            if request.method == "GET":
                return await on_problem(request, failure)
        if not account and request.method == "GET":
            return see_other(here(request))
        return await on_session_ended(request, error)
    return await on_problem(request, error)
