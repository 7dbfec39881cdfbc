"""The pages, and what all of them share."""

from fastapi import FastAPI

from storefront.routes import assets, docs, home, pictures, preferences
from storefront.routes.pages import Pages, ProblemPages
from storefront.routes.security import Headers, SameOrigin
from storefront.routes.visits import Parts, on_session_ended
from storefront.usecases.sessions import SessionEnded

__all__ = ["Pages", "Parts", "add_middleware", "routers"]

routers = [assets.router, docs.router, home.router, pictures.router, preferences.router]


def add_middleware(app: FastAPI) -> None:
    """Adds what every response passes: the last one added is the outermost."""
    app.add_exception_handler(SessionEnded, on_session_ended)
    app.add_middleware(SameOrigin)
    app.add_middleware(ProblemPages)
    app.add_middleware(Headers)
