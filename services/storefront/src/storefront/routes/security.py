"""What every response and every unsafe request must have, so that other sites can neither frame nor drive the shop."""

from collections.abc import Mapping

from starlette.datastructures import Headers as RequestHeaders
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.errors import Forbidden
from chassis.failures import problem_response

__all__ = ["Headers", "SameOrigin"]

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https:; connect-src 'self'; "
    "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
ADDED: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Headers:
    """Pure ASGI middleware: adds the security headers to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(ADDED)
            await send(message)

        await self.app(scope, receive, with_headers)


class SameOrigin:
    """Pure ASGI middleware: refuses a POST that another site made this browser send (CSRF).

    Every current browser sends Sec-Fetch-Site, and older ones Origin. A program that sends neither has no cookie that
    another site could use.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE and not _own(scope):
            problem = Forbidden(
                "cross-site", "This form was sent from another site", "Open the page here, and try again."
            )
            await problem_response(problem)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _own(scope: Scope) -> bool:
    headers = RequestHeaders(scope=scope)
    if (site := headers.get("sec-fetch-site")) is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    schemes = ("https",) if scope["scheme"] == "https" else ("http", "https")  # the edge may not know of TLS before it
    return origin is None or origin in [f"{scheme}://{headers.get('host')}" for scheme in schemes]
