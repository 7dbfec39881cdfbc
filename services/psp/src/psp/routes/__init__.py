"""The HTTP routes of psp."""

from fastapi import FastAPI

from psp.routes import money, problems, sandbox
from psp.routes.parts import Parts
from psp.routes.wire import Wire

__all__ = ["Parts", "install"]


def install(app: FastAPI) -> None:
    """Adds the routes, the error answers and the outermost layer to the app."""
    app.include_router(money.router)
    app.include_router(sandbox.router)
    problems.install(app)
    app.add_middleware(Wire)
