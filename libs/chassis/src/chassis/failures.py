"""What a route could not do becomes an answer, and is raised no further.

Starlette raises again what its handler for `Exception` has answered. The server then logs a stack for a database that
blinked, and closes the kept connection, on which another caller's POST may be under way. `test_failures.py` shows all
of this on a real server.
"""

import json
import logging
from collections.abc import Sequence

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import errors
from chassis.db import SCHEMA_CHANGED, is_environment_failure

__all__ = ["Failures", "problem_response"]

log = logging.getLogger(__name__)


class Failures:
    """Pure ASGI middleware: 503 when the environment failed, so that the caller tries again; 500 for a bug.

    What met a change of the schema is done once more here, as any caller would after a 503: its transaction kept
    nothing. A caller that has gone is no failure. An answer that has begun cannot be taken back, so it is broken off.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = False
        heard: list[Message] = []

        async def noted(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        async def recorded() -> Message:
            message = await receive()
            heard.append(message)
            return message

        untouched = dict(scope)
        try:
            try:
                await self.app(scope, recorded, noted)
            except SCHEMA_CHANGED:
                if began:
                    raise
                await self.app(untouched, replayed(heard, receive), noted)
        except ClientDisconnect:
            pass
        except Exception as error:
            answer = problem_response(understood(error, scope))
            if not began:
                await answer(scope, receive, send)


def replayed(heard: Sequence[Message], receive: Receive) -> Receive:
    """What has been received already, and then the rest."""
    again = iter(tuple(heard))

    async def next_one() -> Message:
        message = next(again, None)
        return await receive() if message is None else message

    return next_one


def understood(error: Exception, scope: Scope) -> errors.Problem:
    """What the caller is told; a bug's stack goes into the log."""
    if is_environment_failure(error):
        log.warning("%s %s: %s: %s", scope["method"], scope["path"], type(error).__name__, error)
        return errors.Unavailable("database-unavailable", "The database does not answer", "Try again in a second.")
    log.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
    return errors.Problem("internal-error", "Something failed here", "It is logged. Trying again may help.")


def problem_response(problem: errors.Problem) -> Response:
    headers = {} if problem.retry_after is None else {"Retry-After": str(problem.retry_after)}
    if isinstance(problem, errors.Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    body = json.dumps(problem.document(), default=str).encode()
    return Response(body, problem.status, headers, "application/problem+json")
