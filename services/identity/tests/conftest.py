"""The application in this process, with a real database."""

from collections.abc import AsyncIterator, Callable

import httpx2
import pytest
from fastapi import FastAPI
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from chassis.db import Database
from chassis.testing.apps import client_of, started
from identity.main import create
from identity.settings import Settings
from identity.usecases import passwords


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
    async with started(create(settings)) as app:
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(app) as client:
        yield client


@pytest.fixture(autouse=True)
def cheap_hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 with little memory, since a hash as in production takes 50 ms of a core; `slow_hashes` tests need that.

    A turn may then last longer, because a busy machine may pause for seconds.
    """
    if "slow_hashes" not in request.fixturenames:
        monkeypatch.setattr(passwords, "TURN_SECONDS", 30.0)
        monkeypatch.setattr(PasswordHash, "recommended", lambda: PasswordHash([Argon2Hasher(1, memory_cost=64)]))


@pytest.fixture
def slow_hashes() -> None:
    """Makes passwords take as long as in production."""
