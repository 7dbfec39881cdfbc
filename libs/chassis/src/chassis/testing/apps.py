"""A whole application in the process of a test: with a client, or behind a real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI

__all__ = ["client_of", "served", "started"]


@asynccontextmanager
async def started(app: FastAPI) -> AsyncIterator[FastAPI]:
    """Runs an application, and yields it once its start-up check has passed, or failed for the first time."""
    async with app.router.lifespan_context(app):
        async with asyncio.timeout(10):
            while app.state.health.waiting_for == "start-up":  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        yield app


def client_of(app: FastAPI, **options: Any) -> httpx2.AsyncClient:
    """Returns a client that calls an application without a server; `options` are those of httpx2.AsyncClient."""
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test", **options)


@asynccontextmanager
async def served(app: FastAPI, **options: Any) -> AsyncIterator[str]:
    """Serves an application on a free port, and yields its URL. `options` are those of uvicorn.Config."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, http="httptools", **options))
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done(), "the server has ended"
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
