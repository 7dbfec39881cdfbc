"""What happens below HTTP's words: HEAD as GET, a limit on bodies, and replies that are lost."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 64 * 1024


class LostReply(Exception):
    """The connection is to be closed without an answer."""


class Wire:
    """The outermost layer: HEAD as GET, bodies counted, and the connection dropped on `LostReply`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server, which has its own scope, leaves the body out
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_BODY:
                raise HTTPException(413, headers={"Connection": "close"})
            return message

        try:
            await self.app(scope, counted, send)
        except LostReply:
            # ASGI has no word for hanging up, but uvicorn's `receive` belongs to what holds the transport.
            receive.__self__.transport.abort()  # type: ignore[attr-defined]
            while (await receive())["type"] != "http.disconnect":
                pass
