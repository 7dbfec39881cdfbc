"""Refuses requests beyond a bound, before anything of them is read or checked.

A process that accepts more than it can do answers everybody late, and works for clients that have gone. Each kind of
request has a bound of its own, so that one kind cannot take the place of another. docs/overload.md has the bounds of
all services; `test_admission.py` shows what is refused.
"""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from chassis import metrics
from chassis.errors import Unavailable

__all__ = ["Admission", "Kind"]

WAIT_SECONDS = 1, 5
"""Clients are told to come back after a random time in this range, so that they do not come back together."""
SLUG = "overloaded"
BODY = json.dumps(
    Unavailable(SLUG, "Too many requests are in progress", "Repeat the request after Retry-After seconds.").document()
).encode()


@dataclass(frozen=True, slots=True)
class Kind:
    """Requests of which at most `limit` are in progress in a process. `pattern` matches "METHOD /path".

    With `from_edge`, calls of other services do not count: they are bounded by the connections of their clients. A
    request came through the edge if it has X-Forwarded-For, which the edge always sets.
    """

    name: str
    limit: int
    pattern: re.Pattern[str]
    from_edge: bool = False


class Admission:
    """Pure ASGI middleware: answers 503 `overloaded`, with Retry-After, to a request beyond the bound of its kind.

    Requests of no kind are always admitted.
    """

    def __init__(self, app: ASGIApp, kinds: Sequence[Kind]) -> None:
        self.app = app
        self._kinds = kinds
        self._in_progress = dict.fromkeys(kinds, 0)
        for kind in kinds:  # a counter that begins with 0 shows its first increase
            metrics.shed.labels(kind.name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = self._kind_of(scope) if scope["type"] == "http" else None
        if kind is None:
            await self.app(scope, receive, send)
        elif self._in_progress[kind] >= kind.limit:
            await _refuse(kind, send)
        else:
            self._in_progress[kind] += 1
            try:
                await self.app(scope, receive, send)
            finally:
                self._in_progress[kind] -= 1

    def _kind_of(self, scope: Scope) -> Kind | None:
        call = f"{scope['method']} {scope['path']}"
        for kind in self._kinds:
            if kind.pattern.fullmatch(call) and (not kind.from_edge or _came_through_the_edge(scope)):
                return kind
        return None


def _came_through_the_edge(scope: Scope) -> bool:
    return any(name == b"x-forwarded-for" for name, _ in scope["headers"])


async def _refuse(kind: Kind, send: Send) -> None:
    metrics.shed.labels(kind.name).inc()
    metrics.problems.labels(SLUG).inc()
    wait = random.randint(*WAIT_SECONDS)  # noqa: S311
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(BODY)),
        (b"retry-after", b"%d" % wait),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})
