"""Composes a service: lifespan, errors as problem+json, health, telemetry, draining.

If each service wrote this itself, one of them would leak a stack trace or forget to drain. Middleware is pure ASGI,
because `BaseHTTPMiddleware` more than doubles the cost of a request. `test_app.py` shows the behavior.
"""

import contextlib
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import APIRouter, FastAPI, Request
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis import telemetry
from chassis.admission import Admission, Kind
from chassis.bodies import BodyGuard
from chassis.direct import Direct, Function
from chassis.failures import HANDLERS, Failures
from chassis.health import Health, Worker
from chassis.methods import Head
from chassis.openapi import document
from chassis.settings import ServiceSettings
from chassis.waiting import DEADLINE_HEADER, deadline

if TYPE_CHECKING:
    from chassis.auth import Verifier  # not every service verifies tokens, and its libraries cost memory

__all__ = ["JsonBytes", "create_app", "parts"]

MAX_WAIT_MS = 30_000
Resource = AbstractAsyncContextManager[Any]
P = TypeVar("P")


class JsonBytes(Response):
    """A response whose bytes are JSON already."""

    media_type = "application/json"


def create_app(
    settings: ServiceSettings,
    name: str,
    *,
    title: str,
    routers: Sequence[APIRouter],
    direct: Collection[Function] = (),
    resources: Sequence[Resource] = (),
    workers: Sequence[Resource] = (),
    verifier: "Verifier | None" = None,
    parts: object = None,
    started: Callable[[], Awaitable[None]] | None = None,
    openapi_url: str | None = None,
    middleware: Sequence[Middleware] = (),
    kinds: Sequence[Kind] = (),
) -> FastAPI:
    """Returns the application of one service.

    `resources` are entered in order at start-up and left in reverse order. `workers` (consumers, jobs) start after the
    resources; with ROLE=api they do not start. With ROLE=worker there are no `routers`. `direct` are those functions of
    the routes that `chassis.direct` calls. `verifier` checks the tokens for `chassis.auth`. `parts` is the object that
    holds what the service's routes need: see `parts` below. `started` is called until it succeeds; until then the
    process is not ready. `middleware`, the outermost first, gets HEAD as GET, and sees the responses to failures too.
    Of each of the `kinds` of requests, the process admits a limited number.
    """
    telemetry.setup(settings, name)
    judged = workers if settings.role == "worker" else ()  # with an API in the same process, the API stays ready
    health = Health(started, [each for each in judged if isinstance(each, Worker)])
    entered: list[Resource] = [health, telemetry.LoopLag(), *resources, *([] if settings.role == "api" else workers)]

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for resource in entered:
                await stack.enter_async_context(resource)
            spare_the_collector()
            yield

    offered = () if settings.role == "worker" else routers
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
            *([Middleware(Admission, kinds=kinds)] if kinds else []),
            Middleware(telemetry.RequestTelemetry, sample_ratio=settings.log_sample_ratio),
            Middleware(Head),
            *middleware,
            Middleware(Failures),
            Middleware(Deadline),
            Middleware(BodyGuard),
            Middleware(Direct, routers=offered, functions=direct),
        ],
        exception_handlers=HANDLERS,
    )
    if verifier is not None:
        app.state.verifier = verifier
    if parts is not None:
        app.state.parts = parts
    app.state.health = health
    app.include_router(health.router)
    for router in offered:
        app.include_router(router)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    return app


def parts(kind: type[P]) -> Callable[[Request], Awaitable[P]]:
    """Returns the dependency that gives routes the `parts` of `create_app`.

        @dataclass(frozen=True, slots=True)
        class Parts:
            db: Database

        given = parts(Parts)
        Given = Annotated[Parts, Depends(given)]

    The dependency raises TypeError if the application has no parts of this kind.
    """

    async def find(request: Request) -> P:
        found = getattr(request.app.state, "parts", None)
        if not isinstance(found, kind):
            raise TypeError(f"create_app was given no parts={kind.__qualname__}(…)")
        return found

    return find


def spare_the_collector() -> None:
    """Exempts the objects made at start-up from garbage collection; checking them repeatedly costs 10% of the CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


class Deadline:
    """Pure ASGI middleware: records how long the client waits, for the calls made on its behalf."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._header = DEADLINE_HEADER.lower().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            deadline.set(None)  # requests on one connection may share a context
            for key, value in scope["headers"]:
                if key == self._header and value.isdigit():
                    milliseconds = int(value) if len(value) < 8 else MAX_WAIT_MS
                    deadline.set(time.monotonic() + min(milliseconds, MAX_WAIT_MS) / 1000)
        await self.app(scope, receive, send)
