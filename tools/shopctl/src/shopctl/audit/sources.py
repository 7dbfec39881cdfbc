"""The sources of the audit: databases, the sandbox provider's ledger, the broker, the edge."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

import aio_pika
import aiohttp
import asyncpg
import msgspec
from aio_pika.abc import AbstractChannel

from shopctl.place import ADMIN_EMAIL, ADMIN_PASSWORD, Place
from shopctl.services import Services

__all__ = ["UNREADABLE", "Addresses", "Database", "Sources", "Unreadable", "opened"]

CONCURRENCY = 8
"""Requests at a time."""
MAX_SEQ_BITS = 40
SESSIONS = 2
"""The most sessions in a database: several checks read at a time."""

SETTINGS = {"application_name": "audit", "plan_cache_mode": "force_custom_plan"}
"""After five times, PostgreSQL would plan for any parameters: for a hundred thousand keys as for ten, and never end."""

Database: TypeAlias = asyncpg.Pool
R = TypeVar("R")


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

    databases: Mapping[str, Database]
    broker: aio_pika.abc.AbstractConnection
    services: Services
    http: aiohttp.ClientSession
    addresses: Addresses

    @property
    def catalog(self) -> Database:
        return self.databases["catalog"]

    @property
    def order(self) -> Database:
        return self.databases["order"]

    @property
    def payment(self) -> Database:
        return self.databases["payment"]

    @contextlib.asynccontextmanager
    async def channel(self) -> AsyncIterator[AbstractChannel]:
        """Open a channel; closing it returns every message that was read to its queue."""
        async with await self.broker.channel() as channel:
            yield channel

    async def ledger(self, after: int) -> AsyncIterator[Sequence[dict[str, Any]]]:
        """Yield the sandbox provider's captures and refunds with a number (`seq`) above `after`, in order, in pages."""
        following: int | None = after
        while following is not None:
            page = await self._json("GET", f"{self.addresses.psp}/ledger?after={following}&limit=1000")
            yield page["items"]
            following = page["next_after"]

    async def place_in_ledger(self, at: datetime) -> int:
        """Return the number after which no entry of the ledger is older than `at`, by a binary search."""
        place = 0
        for bit in reversed(range(MAX_SEQ_BITS)):
            probe = place + 2**bit
            page = await self._json("GET", f"{self.addresses.psp}/ledger?after={probe - 1}&limit=1")
            if page["items"] and datetime.fromisoformat(page["items"][0]["at"]) < at:
                place = probe
        return place

    async def charges(self, orders: Iterable[object]) -> list[list[dict[str, Any]]]:
        """Return the sandbox provider's charges of each of these orders, with what was refunded of each charge."""

        async def charges(order: object) -> list[dict[str, Any]]:
            page = await self._json("GET", f"{self.addresses.psp}/charges?order_id={order}")
            items: list[dict[str, Any]] = page["items"]
            return items

        return await _for_each(orders, charges)

    async def views(self, orders: Iterable[object]) -> list[dict[str, Any]]:
        """Return these orders as an administrator sees them through the edge."""
        headers = await self._headers()

        async def view(order: object) -> dict[str, Any]:
            return await self._json("GET", f"{self.addresses.edge}/api/admin/orders/{order}", headers=headers)

        return await _for_each(orders, view)

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
            body = await response.read()
        try:
            answer = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            answer = None
        if not response.ok or not isinstance(answer, dict):
            raise Unreadable(f"{method} {url}: {response.status} {body.decode(errors='replace')}")
        return answer


async def _for_each(orders: Iterable[object], ask: Callable[[object], Awaitable[R]]) -> list[R]:
    """Ask about each order, about CONCURRENCY of them at a time; return the answers in the order of the questions."""
    slots = asyncio.Semaphore(CONCURRENCY)

    async def one(order: object) -> R:
        async with slots:
            return await ask(order)

    return await asyncio.gather(*map(one, orders))


@contextlib.asynccontextmanager
async def opened(addresses: Addresses, services: Services) -> AsyncIterator[Sources]:
    """Connect to all sources. Raises one of UNREADABLE."""
    async with contextlib.AsyncExitStack() as stack:
        databases = {}
        for name, url in addresses.databases.items():
            pool = asyncpg.create_pool(url, min_size=1, max_size=SESSIONS, timeout=5, server_settings=SETTINGS)
            databases[name] = await stack.enter_async_context(pool)
        broker = await stack.enter_async_context(await aio_pika.connect(addresses.broker, timeout=5))
        http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)))
        yield Sources(databases, broker=broker, services=services, http=http, addresses=addresses)
