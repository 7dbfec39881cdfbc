"""Identity over a real database, in this process."""

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx2
import pytest
from fastapi import FastAPI

from chassis.db import Database
from identity.main import create
from identity.settings import Settings


@pytest.fixture
def settings(database: Callable[[str | None], str]) -> Settings:
    return Settings(
        database_url=database("identity"), environment="development", role="api", registrations_per_minute=3
    )


@pytest.fixture
async def db(settings: Settings) -> AsyncIterator[Database]:
    async with Database(settings.database_url, name="test") as db:
        yield db


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    app = create(settings)
    async with app.router.lifespan_context(app):
        async with asyncio.timeout(10):
            while app.state.health.waiting_for is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://identity") as client:
        yield client
