"""What happens below HTTP's words: HEAD as GET, bodies that are too long or ambiguous, and replies that are lost."""

import json
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from psp.models import Refusal

MAX_BODY = 64 * 1024


class LostReply(Exception):
    """The connection is to be closed without an answer."""


class Wire:
    """The outermost layer: HEAD as GET, bodies looked at, and the connection dropped on `LostReply`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server, which has its own scope, leaves the body out
        size, parts = 0, []

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

        try:
            await self.app(scope, looked_at, send)
        except LostReply:
            # ASGI has no word for hanging up, but uvicorn's `receive` belongs to what holds the transport.
            receive.__self__.transport.abort()  # type: ignore[attr-defined]
            while (await receive())["type"] != "http.disconnect":
                pass


def _refuse_duplicates(body: bytes) -> None:
    """Of two members with one name each parser takes another. What is no JSON at all passes: its route says so."""
    try:
        json.loads(body, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) != len(dict(pairs)):
        raise Refusal("duplicate-member", "Give each member of an object once.")
