"""HTTP → use case → schema."""

from fastapi import FastAPI

from psp.routes import money, problems, sandbox
from psp.routes.parts import Parts
from psp.routes.wire import Wire

__all__ = ["Parts", "install"]


def install(app: FastAPI) -> None:
    """Gives the app its routes, its error answers and its outermost layer."""
    app.include_router(money.router)
    app.include_router(sandbox.router)
    problems.install(app)
    app.add_middleware(Wire)
