"""The composition of a service: lifespan, errors as problem+json, health, telemetry, drain.

Written service by service, these differ, and one of them leaks a stack trace or forgets to drain. Middleware is pure
ASGI, because `BaseHTTPMiddleware` more than doubles a request's cost. `test_app.py` shows the behaviour.
"""

import contextlib
import gc
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import errors, telemetry
from chassis.bodies import refuse_duplicates
from chassis.failures import Failures, problem_response
from chassis.health import Health, Worker
from chassis.methods import Head, allowed
from chassis.openapi import document
from chassis.settings import ServiceSettings
from chassis.waiting import DEADLINE_HEADER, deadline

if TYPE_CHECKING:
    from chassis.auth import Verifier  # not every service verifies tokens, and its libraries cost memory

__all__ = ["JsonBytes", "create_app", "parts"]

MAX_BODY = 64 * 1024
TOO_LARGE = "The body is too large"
MAX_WAIT_MS = 30_000
Resource = AbstractAsyncContextManager[Any]
P = TypeVar("P")


class JsonBytes(Response):
    """Bytes that are JSON already."""

    media_type = "application/json"


def create_app(
    settings: ServiceSettings,
    name: str,
    *,
    title: str,
    routers: Sequence[APIRouter],
    resources: Sequence[Resource] = (),
    workers: Sequence[Resource] = (),
    verifier: "Verifier | None" = None,
    parts: object = None,
    started: Callable[[], Awaitable[None]] | None = None,
    openapi_url: str | None = None,
) -> FastAPI:
    """Composes the application of one service.

    `resources` are entered in order at start-up and left in reverse order; `workers` (consumers, jobs) come after them,
    and not at all with ROLE=api. `routers` are left out with ROLE=worker. `verifier` checks the tokens for
    `chassis.auth`. `parts` is the one object of the service's own that its routes use: see `parts` below.
    `started` is awaited until it succeeds; until then the process is not ready.
    """
    telemetry.setup(settings, name)
    judged = workers if settings.role == "worker" else ()  # where there is an API too, it goes on
    health = Health(started, [each for each in judged if isinstance(each, Worker)])
    entered: list[Resource] = [health, *resources, *([] if settings.role == "api" else workers)]

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for resource in entered:
                await stack.enter_async_context(resource)
            spare_the_collector()
            yield

    app = FastAPI(
        title=title,
        version="1",
        openapi_url=openapi_url or f"/api/{name}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
        middleware=[
            Middleware(telemetry.RequestTelemetry, sample_ratio=settings.log_sample_ratio),
            Middleware(Head),
            Middleware(Failures),
            Middleware(Deadline),
            Middleware(BodyGuard),
        ],
        exception_handlers={
            errors.Problem: on_problem,
            RequestValidationError: on_invalid,
            HTTPException: on_http_exception,
        },
    )
    if verifier is not None:
        app.state.verifier = verifier
    if parts is not None:
        app.state.parts = parts
    app.state.health = health
    app.include_router(health.router)
    if settings.role != "worker":
        for router in routers:
            app.include_router(router)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    return app


def parts(kind: type[P]) -> Callable[[Request], Awaitable[P]]:
    """Makes the dependency by which routes take the `parts` of `create_app`.

        @dataclass(frozen=True, slots=True)
        class Parts:
            db: Database

        given = parts(Parts)
        Given = Annotated[Parts, Depends(given)]

    Raises TypeError where the application has none of this kind.
    """

    async def find(request: Request) -> P:
        found = getattr(request.app.state, "parts", None)
        if not isinstance(found, kind):
            raise TypeError(f"create_app was given no parts={kind.__qualname__}(…)")
        return found

    return find


def spare_the_collector() -> None:
    """What start-up made lives as long as the process: looking through it again and again costs a tenth of the CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


class Deadline:
    """Pure ASGI middleware: notes until when the caller waits, for the calls made on its behalf."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._header = DEADLINE_HEADER.lower().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            deadline.set(None)  # a kept connection's request may be served in the context of an earlier one
            for key, value in scope["headers"]:
                if key == self._header and value.isdigit():
                    milliseconds = int(value) if len(value) < 8 else MAX_WAIT_MS
                    deadline.set(time.monotonic() + min(milliseconds, MAX_WAIT_MS) / 1000)
        await self.app(scope, receive, send)


class BodyGuard:
    """Pure ASGI middleware: refuses a body by its announced length, or else as soon as it is too long, and duplicates.

    The framework's own `max_body_size` puts an answer in plain text over ours.
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


async def on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, errors.Problem)
    return problem_response(error)


async def on_invalid(_: Request, error: Exception) -> Response:
    """422 with where and why, but never the input itself: it may hold a password, or text that JSON cannot hold."""
    assert isinstance(error, RequestValidationError)
    if isinstance(error.body, bytes):  # unread, for it does not call itself JSON
        return http_problem(415, "The body has another media type than this address takes")
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
    404: "No such address; see the service's openapi.json.",
    405: "See the Allow header for the methods of this address.",
    413: f"A body may have {MAX_BODY // 1024} KiB.",
    415: "Send JSON, with Content-Type: application/json.",
}


async def on_http_exception(request: Request, error: Exception) -> Response:
    """What the framework itself raises: no such route, wrong method, body too large, unreadable body."""
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, ClientDisconnect):  # the framework takes it for a body that is no good
        raise error.__cause__
    if isinstance(error.__cause__, errors.Problem):  # raised while the framework read the body
        return problem_response(error.__cause__)
    headers = error.headers
    if error.status_code == 405:
        headers = {"Allow": ", ".join(allowed(request.app.routes, request.scope))}
    return http_problem(error.status_code, error.detail, headers)


def http_problem(status: int, title: str, headers: Mapping[str, str] | None = None) -> Response:
    document = {
        "type": errors.TYPE_BASE + SLUGS.get(status, "http-error"),
        "title": _printable(title),
        "status": status,
        "detail": DETAILS.get(status, "Correct the request."),
    }
    return Response(json.dumps(document).encode(), status, headers, "application/problem+json")
