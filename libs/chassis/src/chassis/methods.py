"""Answers HEAD wherever there is a GET, and lists the methods of an address.

The framework answers HEAD with 405, which monitors, caches and link checkers treat as a fault. Its `Allow` lists only
the methods of one of the routes at an address. `test_methods.py` shows both.
"""

import asyncio
from collections.abc import Iterable

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Head", "allowed"]

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Head:
    """Pure ASGI middleware: answers HEAD like GET, with the same headers and no body (RFC 9110, 9.3.2).

    A stream (no Content-Length) is closed right after its headers, because it could last for minutes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def bodiless(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})
                if not any(name.lower() == b"content-length" for name, _ in message["headers"]):
                    rest.reschedule(asyncio.get_running_loop().time())

        as_get = {**scope, "method": "GET"}
        try:
            async with asyncio.timeout(None) as rest:
                await self.app(as_get, receive, bodiless)
        except TimeoutError:
            if not rest.expired():
                raise
        finally:
            scope["route"] = as_get.get("route")  # for the telemetry middleware outside


def allowed(routes: Iterable[BaseRoute], scope: Scope) -> list[str]:
    """Returns the methods of this address, for `Allow`."""
    routes = list(routes)
    found = [m for m in METHODS if any(r.matches({**scope, "method": m})[0] is Match.FULL for r in routes)]
    return ["GET", "HEAD", *found[1:]] if found[:1] == ["GET"] else found
