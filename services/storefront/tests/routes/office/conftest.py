"""Managers who are logged in: their sessions are put into Valkey."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx2
import pytest
from fastapi import FastAPI

from storefront.models import Session, Tokens

BOTH = ("catalog:write", "orders:manage")

Manager = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]


@pytest.fixture
def manager(app: FastAPI, browser) -> Manager:
    """`async with manager("catalog:write") as ada:` gives the browser of an account with these scopes, or with both."""

    @asynccontextmanager
    async def logged_in(*scopes: str, name: str | None = "Ada", **headers: str) -> AsyncIterator[httpx2.AsyncClient]:
        tokens = Tokens("manager", time.time(), time.time() + 900, frozenset(scopes or BOTH), "refresh")
        id = await app.state.parts.sessions.start(Session(tokens, name))
        async with browser(**headers) as client:
            client.cookies["session"] = id
            yield client

    return logged_in


@pytest.fixture
async def ada(manager) -> AsyncIterator[httpx2.AsyncClient]:
    """The browser of an account with both scopes."""
    async with manager() as client:
        yield client
