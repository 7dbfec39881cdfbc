"""The cookie with the ID of the session."""

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storefront.usecases.sessions import Visit

__all__ = ["COOKIE", "SessionCookie"]

COOKIE = "session"
AGE = 400 * 86_400
"""The longest time for which browsers keep a cookie. A session itself ends `SESSION_DAYS` after its last use."""


class SessionCookie:
    """Pure ASGI middleware: tells the browser if its session got another ID, and to forget one that opens nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_cookie(message: Message) -> None:
            visit: Visit | None = scope.get("state", {}).get("visit")
            if message["type"] == "http.response.start" and visit is not None:
                for cookie in _news(Request(scope), visit).headers.getlist("set-cookie"):
                    MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        await self.app(scope, receive, with_cookie)


def _news(request: Request, visit: Visit) -> Response:
    """Returns a response with the cookie, if there is something to tell."""
    response = Response()
    secure = request.url.scheme == "https"
    if visit.forgotten:
        response.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=secure)
    elif visit.stored and visit.id is not None and visit.id != request.cookies.get(COOKIE):
        response.set_cookie(COOKIE, visit.id, max_age=AGE, httponly=True, samesite="lax", secure=secure)
    return response
