"""Fixtures: a migrated database, the whole application in this process, and its clients."""

from collections.abc import AsyncIterator, Callable

import httpx2
import pytest
from fastapi import FastAPI

from chassis.db import Database
from chassis.testing.apps import client_of, started
from chassis.testing.tokens import token
from storefront.main import create
from storefront.settings import Settings

Client = Callable[[str], httpx2.AsyncClient]


@pytest.fixture
def url(database: Callable[[str | None], str]) -> str:
    return database("storefront")


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url, name="test") as db:
        yield db


@pytest.fixture
def settings(url: str, jwks_url: str) -> Settings:
    """Settings of a process that serves HTTP only."""
    return Settings(
        environment="development",
        role="api",
        database_url=url,
        broker_url="amqp://nobody@127.0.0.1:1/none",
        jwks_url=jwks_url,
    )


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    async with started(create(settings)) as app:
        yield app


@pytest.fixture
def client(app: FastAPI) -> Client:
    """`async with client("ann") as ann:` gives an HTTP client with the token of a principal."""
    return lambda principal: client_of(app, headers={"Authorization": f"Bearer {token(sub=principal)}"})
