"""Refuses request bodies that are too large, and JSON with duplicate members, before any route sees them.

Of two members with the same name, each parser silently takes one, and parsers differ in which one. A log or a proxy may
then show another value than the service used. `test_bodies.py` shows what is refused.
"""

import json
from collections import Counter
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.errors import Malformed
from chassis.failures import http_problem

__all__ = ["MAX_BODY", "BodyGuard", "refuse_duplicates"]

MAX_BODY = 64 * 1024
TOO_LARGE = "The body is too large"


class BodyGuard:
    """Pure ASGI middleware: refuses a body whose Content-Length is too large, or as soon as it has grown too large.

    The framework's own `max_body_size` replaces our answer with one in plain text.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        for key, value in scope["headers"]:
            if key == b"content-length" and value.isdigit() and (len(value) > 9 or int(value) > MAX_BODY):
                await http_problem(413, TOO_LARGE)(scope, receive, send)
                return
        size, parts = 0, []

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > MAX_BODY:
                raise HTTPException(413, TOO_LARGE)
            if not message.get("more_body"):
                refuse_duplicates(b"".join(parts))
                parts.clear()
            return message

        await self.app(scope, counted, send)


def refuse_duplicates(body: bytes) -> None:
    """Raises Malformed (`duplicate-member`, `malformed-json`). A body that is not JSON passes: its route refuses it.

    Most bodies contain no string twice. Checking this takes a microsecond, and only other bodies are parsed.
    """
    if b"\\" not in body and b"\0" not in body:  # escapes and UTF-16 can hide equal strings
        strings = body.split(b'"')[1::2]
        if len(strings) == len(set(strings)):
            return
    try:
        json.loads(body, object_pairs_hook=_unique)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return
    except (ValueError, RecursionError) as error:
        raise Malformed(
            "malformed-json", "The body cannot be read", "Nest it less, and write shorter numbers."
        ) from error


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) != len({name for name, _ in pairs}):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        printable = name.encode("ascii", "backslashreplace").decode()[:100]
        raise Malformed("duplicate-member", "A member occurs twice in the body", f"Give {printable} once.")
