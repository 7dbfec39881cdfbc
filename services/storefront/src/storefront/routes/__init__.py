"""The pages, and what all of them share."""

import re

from starlette.middleware import Middleware

from chassis.admission import Kind
from storefront.routes import (
    account,
    assets,
    cart,
    checkout,
    docs,
    home,
    lists,
    office,
    orders,
    pictures,
    preferences,
    products,
)
from storefront.routes.cookies import SessionCookie
from storefront.routes.pages import Pages
from storefront.routes.problems import ProblemPages
from storefront.routes.security import Headers, SameOrigin
from storefront.routes.visits import Parts, on_refused, on_session_ended
from storefront.usecases.remote import Refused
from storefront.usecases.sessions import SessionEnded

__all__ = ["KINDS", "Pages", "Parts", "handlers", "middleware", "routers"]

routers = [
    account.router,
    assets.router,
    cart.router,
    checkout.router,
    docs.router,
    home.router,
    lists.router,
    orders.router,
    pictures.router,
    preferences.router,
    products.router,
    *office.routers,
]

middleware = [Middleware(Headers), Middleware(SessionCookie), Middleware(ProblemPages), Middleware(SameOrigin)]
"""What every request passes, the outermost first."""

KINDS = (Kind("browsing", 64, re.compile(r"(GET|HEAD) /((c|p)/.*|search)?")),)
"""Pages of which the edge has copies, and gives one when this service refuses."""

handlers = {
    office.LoginRequired: office.on_login_required,
    Refused: on_refused,
    SessionEnded: on_session_ended,
}
"""How exceptions of the routes are answered, besides the usual ones."""
