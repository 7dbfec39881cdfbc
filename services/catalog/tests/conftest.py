"""Fixtures: a migrated database, a client of the whole application, and valid tokens."""

from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import httpx2
import pytest

from catalog import usecases
from catalog.main import create
from catalog.messages import Line, OrderConfirmed, ReleaseStock, ReserveStock
from catalog.models import Price, Product
from catalog.settings import Settings
from chassis.db import Database
from chassis.ids import uuid7
from chassis.messages import Event
from chassis.testing.apps import client_of, started
from chassis.testing.tokens import token

Add = Callable[..., Awaitable[None]]


@pytest.fixture
def url(database: Callable[[str | None], str]) -> str:
    return database("catalog")


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url, name="test", size=8) as db:
        yield db


@pytest.fixture
def add(db: Database) -> Add:
    """`await add("TEA-1", stock=5, name=…, category=…, amount=…)`"""

    async def add(
        sku: str,
        *,
        stock: int = 0,
        name: str = "Tea",
        description: str = "",
        category: str = "tea",
        amount: int = 100,
    ) -> None:
        await usecases.create_product(db, Product(sku, name, description, category, Price(amount, "EUR")))
        if stock:
            await usecases.restock(db, f"first-{sku}", sku, stock)

    return add


class Events:
    """Makes events as they come from the broker, each with a new ID unless one is given."""

    @staticmethod
    def reserve(order: UUID, lines: dict[str, int], id: UUID | None = None) -> Event[ReserveStock]:
        data = ReserveStock(order_id=order, lines=tuple(Line(sku, n) for sku, n in lines.items()))
        return Event(id or uuid7(), str(order), data)

    @staticmethod
    def release(order: UUID, id: UUID | None = None) -> Event[ReleaseStock]:
        return Event(id or uuid7(), str(order), ReleaseStock(order_id=order))

    @staticmethod
    def confirm(order: UUID, id: UUID | None = None) -> Event[OrderConfirmed]:
        return Event(id or uuid7(), str(order), OrderConfirmed(order_id=order))


@pytest.fixture
def events() -> type[Events]:
    return Events


@pytest.fixture
def audit(db: Database) -> Callable[[], Awaitable[None]]:
    """Fails unless each delivered piece is available, held or sold, as the reservations say."""

    async def audit() -> None:
        async with db.connection() as connection:
            wrong = await connection.fetch(
                """
                SELECT s.sku FROM stock s
                LEFT JOIN (SELECT sku, sum(quantity) AS n FROM restocks GROUP BY sku) r USING (sku)
                LEFT JOIN (SELECT sku, coalesce(sum(quantity) FILTER (WHERE state = 'HELD'), 0) AS held,
                                  coalesce(sum(quantity) FILTER (WHERE state = 'SOLD'), 0) AS sold
                           FROM reservation_lines JOIN reservations USING (order_id) GROUP BY sku) l USING (sku)
                WHERE s.available + s.held + s.sold <> coalesce(r.n, 0)
                   OR s.held <> coalesce(l.held, 0) OR s.sold <> coalesce(l.sold, 0) OR s.available < 0
                """
            )
        assert not wrong

    return audit


@pytest.fixture
async def http(url: str, jwks_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client whose token permits writes; remove the header for one without a token."""
    settings = Settings(
        environment="development",
        role="api",
        database_url=url,
        broker_url="amqp://nobody@127.0.0.1:1/none",
        jwks_url=jwks_url,
    )
    headers = {"Authorization": f"Bearer {token(scope='catalog:write')}"}
    async with started(create(settings)) as app, client_of(app, headers=headers) as client:
        yield client
