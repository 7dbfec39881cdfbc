"""The sources of the audit: databases, the sandbox provider's ledger, the broker, the edge."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import aio_pika
import aiohttp
import asyncpg
from aio_pika.abc import AbstractChannel

from shopctl.place import ADMIN_EMAIL, ADMIN_PASSWORD, Place
from shopctl.services import Services

__all__ = ["UNREADABLE", "Addresses", "Sources", "Unreadable", "opened"]

CONCURRENCY = 8


class Unreadable(Exception):
    """A source gave an unexpected answer, which is in the message."""


UNREADABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    aiohttp.ClientError,
    aio_pika.exceptions.AMQPError,
    Unreadable,
)


@dataclass(frozen=True)
class Addresses:
    """The URLs of the sources, `databases` by service, and an account that may see all orders."""

    databases: Mapping[str, str]
    broker: str
    psp: str
    edge: str
    admin: tuple[str, str] = (ADMIN_EMAIL, ADMIN_PASSWORD)

    @classmethod
    def of(cls, place: Place) -> "Addresses":
        return cls(
            databases={name: place.database_url("auditor", name) for name in place.services.audited},
            broker=place.broker_url("operator"),
            psp=place.psp_url,
            edge=place.address,
            admin=place.admin,
        )


@dataclass(frozen=True)
class Sources:
    """Open connections to all sources."""

    databases: Mapping[str, asyncpg.Connection]
    broker: aio_pika.abc.AbstractConnection
    services: Services
    http: aiohttp.ClientSession
    addresses: Addresses

    @property
    def catalog(self) -> asyncpg.Connection:
        return self.databases["catalog"]

    @property
    def order(self) -> asyncpg.Connection:
        return self.databases["order"]

    @property
    def payment(self) -> asyncpg.Connection:
        return self.databases["payment"]

    @contextlib.asynccontextmanager
    async def channel(self) -> AsyncIterator[AbstractChannel]:
        """Open a channel; closing it returns every message that was read to its queue."""
        async with await self.broker.channel() as channel:
            yield channel

    async def ledger(self) -> list[dict[str, Any]]:
        """Return every capture and refund of the sandbox provider, in order."""
        entries: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page = await self._json("GET", f"{self.addresses.psp}/ledger?after={after}&limit=1000")
            entries += page["items"]
            after = page["next_after"]
        return entries

    async def views(self, orders: Iterable[object]) -> list[dict[str, Any]]:
        """Return these orders as an administrator sees them through the edge."""
        headers = await self._headers()
        slots = asyncio.Semaphore(CONCURRENCY)

        async def view(order: object) -> dict[str, Any]:
            async with slots:
                return await self._json("GET", f"{self.addresses.edge}/api/admin/orders/{order}", headers=headers)

        return await asyncio.gather(*map(view, orders))

    async def report(self, findings: Mapping[str, int]) -> None:
        """Give the order service the number of findings of each invariant. Raises one of UNREADABLE."""
        url = f"{self.addresses.edge}/api/admin/orders/audit"
        body = {"findings": dict(findings)}
        async with self.http.put(url, json=body, headers=await self._headers()) as response:
            if not response.ok:
                raise Unreadable(f"PUT {url}: {response.status}")

    async def _headers(self) -> dict[str, str]:
        """Log in, and return the headers of an administrator's request."""
        username, password = self.addresses.admin
        login = {"grant_type": "password", "username": username, "password": password}
        token = await self._json("POST", f"{self.addresses.edge}/api/identity/token", data=login)
        return {"Authorization": f"Bearer {token['access_token']}"}

    async def _json(self, method: str, url: str, **content: Any) -> dict[str, Any]:
        async with self.http.request(method, url, **content) as response:
            text = await response.text(errors="replace")
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not response.ok or not isinstance(answer, dict):
            raise Unreadable(f"{method} {url}: {response.status} {text}")
        return answer


@contextlib.asynccontextmanager
async def opened(addresses: Addresses, services: Services) -> AsyncIterator[Sources]:
    """Connect to all sources. Raises one of UNREADABLE."""
    async with contextlib.AsyncExitStack() as stack:
        connections = {}
        for name, url in addresses.databases.items():
            connections[name] = await asyncpg.connect(url, timeout=5, server_settings={"application_name": "audit"})
            stack.push_async_callback(connections[name].close)
        broker = await stack.enter_async_context(await aio_pika.connect(addresses.broker, timeout=5))
        http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)))
        yield Sources(connections, broker=broker, services=services, http=http, addresses=addresses)
