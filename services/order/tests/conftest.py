"""A database of orders, and fakes of the cart and catalog services behind their Protocols."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest

from chassis.db import Database
from chassis.ids import uuid7
from chassis.messages import Event
from order.messages import PaymentCaptured, StockReserved
from order.usecases import saga
from order.usecases.placing import Cart, Placement, PlaceOrder
from order.usecases.pricing import Product


@dataclass
class FakeCarts:
    carts: dict[str, Cart] = field(default_factory=dict)

    async def read(self, token: str) -> Cart:
        return self.carts.get(token, Cart(None, []))


@dataclass
class FakeProducts:
    products: dict[str, Product]
    calls: list[Collection[str]] = field(default_factory=list)

    async def find(self, skus: Collection[str]) -> Mapping[str, Product]:
        self.calls.append(skus)
        return {sku: self.products[sku] for sku in skus if sku in self.products}


@dataclass
class Shop:
    """Places orders: `request()` fills a cart worth 1250 cents and returns the request that orders it."""

    db: Database
    carts: FakeCarts
    products: FakeProducts
    placement: Placement
    backlog: float = 0.0

    def request(self, principal: str = "ann", key: str = "key-1", **changes: object) -> PlaceOrder:
        version = str(changes.pop("cart_version", None) or uuid4())
        token = f"token of {principal}"
        self.carts.carts.setdefault(token, Cart(version, [("MUG-1", 2), ("TEA-1", 1)]))
        values: dict[str, object] = {
            "principal": principal,
            "token": token,
            "idempotency_key": key,
            "request_hash": b"hash",
            "cart_version": self.carts.carts[token].version,
            "payment_method": "tok_visa",
            "shipping_address": b'{"name":"Ann"}',
            "expected_amount": 1250,
            "expected_currency": "EUR",
        }
        return PlaceOrder(**{**values, **changes})  # type: ignore[arg-type]

    def another_process(self) -> Placement:
        return placement_of(self.db, self.carts, self.products)

    async def confirm(self, id: UUID) -> None:
        """Handles the replies of a saga that succeeds."""
        await saga.stock_reserved(self.db, [event(StockReserved(id))])
        await saga.payment_captured(self.db, [event(PaymentCaptured(id))])


def placement_of(
    db: Database, carts: FakeCarts, products: FakeProducts, backlog: Callable[[], float] = lambda: 0.0
) -> Placement:
    return Placement(db, carts, products, currency="EUR", ttl_seconds=900, backlog=backlog)


def event(message: Any, traceparent: str | None = None) -> Event[Any]:
    return Event(uuid7(), str(message.order_id), message, traceparent)


@pytest.fixture
async def db(database: Callable[[str], str]) -> AsyncIterator[Database]:
    async with Database(database("order"), name="test") as db:
        yield db


@pytest.fixture
def shop(db: Database) -> Shop:
    carts = FakeCarts()
    products = FakeProducts({"MUG-1": Product("Mug", 500, "EUR", 100), "TEA-1": Product("Tea", 250, "EUR", 100)})
    shop: Shop

    shop = Shop(db, carts, products, placement_of(db, carts, products, lambda: shop.backlog))
    return shop
