"""The outermost layer: HEAD, bodies that are too long or ambiguous, lost replies, unexpected failures."""

import json
from logging import getLogger
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from psp.models import Refusal
from psp.routes.problems import MAX_BODY, SERVER_ERROR, problem

log = getLogger(__name__)


class LostReply(Exception):
    """Raised to close the connection without an answer."""


class Wire:
    """Serves HEAD as GET, checks bodies, closes the connection on `LostReply`, and answers any other error.

    If an error reached the server, it would close a connection that the client goes on using.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server has its own scope and omits the body
        size, parts, started = 0, [], False

        async def looked_at() -> Message:
            nonlocal size
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > MAX_BODY:
                raise HTTPException(413, headers={"Connection": "close"})
            if not message.get("more_body"):
                _refuse_duplicates(b"".join(parts))
                parts.clear()
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, looked_at, noted)
        except LostReply:
            # ASGI cannot close a connection, but uvicorn's `receive` belongs to the object that holds the transport.
            receive.__self__.transport.abort()  # type: ignore[attr-defined]
            while (await receive())["type"] != "http.disconnect":
                pass
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if not started:  # otherwise the answer is cut short, and the server closes the connection
                await problem(*SERVER_ERROR)(scope, receive, send)


def _refuse_duplicates(body: bytes) -> None:
    """Refuses duplicate members, of which parsers take different ones. What is not JSON is left to the route."""
    try:
        json.loads(body, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) != len(dict(pairs)):
        raise Refusal("duplicate-member", "Give each member of an object once.")
