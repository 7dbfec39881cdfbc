"""Turns each exception of a route into a response, and does not raise it again.

Starlette raises the exception again after its handler for `Exception` has responded. The server then logs a stack trace
for each short database outage, and closes the connection, on which another POST may be in progress. `test_failures.py`
shows on a real server that this does not happen here.
"""

import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import errors, metrics, telemetry
from chassis.db import SCHEMA_CHANGED, is_environment_failure
from chassis.methods import allowed

__all__ = ["HANDLERS", "Failures", "http_problem", "on_problem"]


class Failures:
    """Pure ASGI middleware: answers 503 when the environment failed, so that the client retries, and 500 for a bug.

    A request that fails because of a schema change is repeated once, since its transaction was rolled back. A client
    that has disconnected is not a failure. A response that has begun cannot be replaced, so it is cut off.
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
    """Returns a `receive` that first repeats the messages received so far, and then continues with new ones."""
    again = iter(tuple(heard))

    async def next_one() -> Message:
        message = next(again, None)
        return await receive() if message is None else message

    return next_one


def understood(error: Exception, scope: Scope) -> errors.Problem:
    """Returns the problem to send to the client, and notes the error for the request's log line."""
    if is_environment_failure(error):
        problem = errors.Unavailable("database-unavailable", "The database does not answer", "Try again in a second.")
        problem.__cause__ = error
        telemetry.failed(scope, problem)
        return problem
    telemetry.failed(scope, error)
    return errors.Problem("internal-error", "Something failed here", "The failure is logged. Trying again may help.")


def problem_response(problem: errors.Problem) -> Response:
    metrics.problems.labels(problem.slug).inc()
    headers = {} if problem.retry_after is None else {"Retry-After": str(problem.retry_after)}
    if isinstance(problem, errors.Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    body = json.dumps(problem.document(), default=str).encode()
    return Response(body, problem.status, headers, "application/problem+json")


async def on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.Problem)
    if error.status >= 500:
        telemetry.failed(request.scope, error)
    return problem_response(error)


async def on_invalid(_: Request, error: Exception) -> Response:
    """Answers 422 with the fields and reasons, but without the input, which may hold a password."""
    assert isinstance(error, RequestValidationError)
    if isinstance(error.body, bytes):  # not parsed: its Content-Type is not JSON
        return http_problem(415, "The body has another media type than this address accepts")
    found = [
        {"field": ".".join(_printable(part) for part in e["loc"]), "message": _printable(e["msg"])}
        for e in error.errors()[:20]
    ]
    return problem_response(
        errors.Invalid("invalid-request", "The request is not valid", "Correct the named fields.", errors=found)
    )


def _printable(value: object) -> str:
    return str(value).encode("ascii", "backslashreplace").decode()[:200]


SLUGS = {
    400: "malformed-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    415: "unsupported-media-type",
}

DETAILS = {
    404: "There is no such address; see the service's openapi.json.",
    405: "See the Allow header for the methods of this address.",
    413: "Send at most 64 KiB.",  # chassis.bodies.MAX_BODY
    415: "Send JSON, with Content-Type: application/json.",
}


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Responds to what the framework raises: unknown address, wrong method, body too large, unreadable body."""
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, ClientDisconnect):  # the framework reports it as a bad body
        raise error.__cause__
    if isinstance(error.__cause__, errors.Problem):  # raised while the framework read the body
        return problem_response(error.__cause__)
    headers = error.headers
    if error.status_code == 405:
        headers = {"Allow": ", ".join(allowed(request.app.routes, request.scope))}
    return http_problem(error.status_code, error.detail, headers)


def http_problem(status: int, title: str, headers: Mapping[str, str] | None = None) -> Response:
    slug = SLUGS.get(status, "http-error")
    metrics.problems.labels(slug).inc()
    document = {
        "type": errors.TYPE_BASE + slug,
        "title": _printable(title),
        "status": status,
        "detail": DETAILS.get(status, "Correct the request."),
    }
    return Response(json.dumps(document).encode(), status, headers, "application/problem+json")


HANDLERS: dict[Any, Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    errors.Problem: on_problem,
    RequestValidationError: on_invalid,
    HTTPException: on_http_exception,
}
"""What answers the exceptions that a route may raise; all others are left to `Failures`."""
