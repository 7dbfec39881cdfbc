"""Health for an orchestrator: live (the event loop runs), startup (the check passed), ready (started, not draining).

If readiness checked the database, a short outage would take every process out of service. Here single requests fail
with 503 instead. A worker serves no requests, so its readiness tells whether it does its work. `test_health.py` shows
this.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from types import FrameType
from typing import Annotated, Any, Protocol, Self, runtime_checkable

from fastapi import APIRouter, Depends, Request
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from starlette.responses import PlainTextResponse, Response

__all__ = ["Draining", "Health", "Worker"]

log = logging.getLogger(__name__)


@runtime_checkable
class Worker(Protocol):
    """A worker that can tell whether it does its work."""

    def trouble(self) -> str | None:
        """Returns why it has not worked for so long that an operator should look; otherwise None."""


class Health:
    """The state of this process: started once `check` has succeeded; not ready while a worker is in trouble."""

    def __init__(self, check: Callable[[], Awaitable[None]] | None = None, workers: Sequence[Worker] = ()) -> None:
        self._check = check
        self._workers = workers
        self._task: asyncio.Task[None] | None = None
        self.waiting_for: str | None = "start-up"
        self.draining = asyncio.Event()
        self._handlers: dict[signal.Signals, Any] = {}
        self.router = APIRouter(include_in_schema=False)
        self.router.add_api_route("/health/live", self.live)
        self.router.add_api_route("/health/ready", self.ready)
        self.router.add_api_route("/health/startup", self.startup)
        self.router.add_api_route("/metrics", self.metrics)

    async def __aenter__(self) -> Self:
        self._drain_on_sigterm()
        self._task = asyncio.create_task(self._start(), name="start-up check")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.draining.set()
        if self._task is not None:
            self._task.cancel()
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    async def _start(self) -> None:
        while self._check is not None:
            try:
                await self._check()
                break
            except Exception as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                if reason != self.waiting_for:
                    log.warning("not ready: %s", reason)
                self.waiting_for = reason
                await asyncio.sleep(0.3)
        self.waiting_for = None

    def _drain_on_sigterm(self) -> None:
        """Starts draining at the signal, before the server's own handler runs."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            server = signal.getsignal(number)

            def handle(number: int, frame: FrameType | None, server: object = server) -> None:
                loop.call_soon_threadsafe(self.draining.set)
                if callable(server):
                    server(number, frame)

            try:
                signal.signal(number, handle)
            except ValueError:  # not the main thread: a server in a test
                return
            self._handlers[number] = server

    async def live(self) -> Response:
        return PlainTextResponse("live")

    async def startup(self) -> Response:
        if self.waiting_for is None:
            return PlainTextResponse("started")
        return PlainTextResponse(f"waiting: {self.waiting_for}", 503)

    async def ready(self) -> Response:
        if self.draining.is_set():
            return PlainTextResponse("draining", 503)
        if trouble := next(filter(None, (worker.trouble() for worker in self._workers)), None):
            return PlainTextResponse(trouble, 503)
        return await self.startup()

    async def metrics(self, request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(REGISTRY), media_type=content_type)


async def draining(request: Request) -> asyncio.Event:
    """Returns the event that is set once this process drains; a stream must end then."""
    health: Health = request.app.state.health
    return health.draining


Draining = Annotated[asyncio.Event, Depends(draining)]
