"""The other services as the pages see them: their data, with only the fields that a page shows, and their refusals."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol

import msgspec

from chassis.errors import Problem

__all__ = [
    "Account",
    "Address",
    "Cart",
    "Carts",
    "Catalog",
    "Category",
    "Events",
    "Granted",
    "Identity",
    "Line",
    "Money",
    "Order",
    "OrderLine",
    "Ordering",
    "Orders",
    "Placed",
    "Product",
    "Products",
    "Refused",
    "Step",
]


class Refused(Problem):
    """A service's problem with a status below 500. `slug` names the case; `members` are its further members."""

    def __init__(self, status: int, slug: str, title: str, detail: str, **members: Any) -> None:
        super().__init__(slug, title, detail, **members)
        self.status = status  # type: ignore[misc]


class Money(msgspec.Struct, frozen=True):
    """`amount` is in minor units, such as cents; `currency` is an ISO 4217 code."""

    amount: int
    currency: str


class Product(msgspec.Struct, frozen=True):
    """`version` is the ETag for a change, where a single product was read."""

    sku: str
    name: str
    description: str
    category: str
    price: Money
    available: int
    image_url: str | None = None
    version: str | None = None


class Products(msgspec.Struct, frozen=True):
    items: list[Product]
    next_cursor: str | None = None


class Category(msgspec.Struct, frozen=True):
    """`products` is their number, which catalog counts up to 100."""

    slug: str
    name: str
    products: int


class Catalog(Protocol):
    """Each method raises Unavailable or Refused."""

    async def categories(self) -> list[Category]: ...

    async def products(self, **query: str | int | None) -> Products:
        """Searches; `query` has the parameters of GET /api/catalog/products, of which None ones are left out."""

    async def product(self, sku: str) -> Product: ...

    async def by_skus(self, skus: Sequence[str]) -> dict[str, Product]:
        """Returns those of at most 100 products that exist."""


class Line(msgspec.Struct, frozen=True):
    sku: str
    quantity: int


class Cart(msgspec.Struct, frozen=True):
    """`version` is None if the cart is empty."""

    version: str | None
    items: list[Line]

    @property
    def count(self) -> int:
        return sum(line.quantity for line in self.items)


class Carts(Protocol):
    """The cart of the principal of a token. Each method raises Unavailable or Refused."""

    async def get(self, token: str) -> Cart: ...
    async def put(self, token: str, sku: str, quantity: int) -> Cart: ...
    async def remove(self, token: str, sku: str) -> Cart: ...
    async def merge(self, token: str, guest: str) -> Cart: ...


class Account(msgspec.Struct, frozen=True):
    id: str
    email: str
    name: str


class Granted(msgspec.Struct, frozen=True):
    """A token response (RFC 6749, 5.1)."""

    access_token: str
    expires_in: int
    scope: str = ""
    refresh_token: str | None = None


class Identity(Protocol):
    """Each method raises Unavailable or Refused."""

    async def guest(self) -> Granted: ...
    async def sign_in(self, email: str, password: str) -> Granted: ...
    async def refresh(self, token: str) -> Granted: ...
    async def revoke(self, token: str) -> None: ...
    async def register(self, email: str, password: str, name: str, client: str) -> Account:
        """`client` is the address of the browser: identity limits the registrations of each."""

    async def change_password(self, token: str, current: str, new: str) -> Granted: ...
    async def me(self, token: str) -> Account: ...


class Address(msgspec.Struct, frozen=True, omit_defaults=True):
    """`country` is an ISO 3166-1 alpha-2 code."""

    name: str
    line1: str
    city: str
    postal_code: str
    country: str
    line2: str | None = None


class OrderLine(msgspec.Struct, frozen=True):
    sku: str
    name: str
    quantity: int
    unit_price: Money

    @property
    def total(self) -> Money:
        return Money(self.unit_price.amount * self.quantity, self.unit_price.currency)


class Step(msgspec.Struct, frozen=True):
    """`seq` counts an order's steps from 1; `reason` tells why a step undoes the order."""

    seq: int
    status: str
    at: datetime
    reason: str | None = None


class Order(msgspec.Struct, frozen=True):
    """`history` is empty in a list of orders."""

    id: str
    status: str
    total: Money
    lines: list[OrderLine]
    shipping_address: Address
    created_at: datetime
    expires_at: datetime
    history: list[Step] = []


class Orders(msgspec.Struct, frozen=True):
    items: list[Order]
    next_cursor: str | None = None


class Placed(msgspec.Struct, frozen=True):
    id: str
    status: str


class Events(Protocol):
    """Server-sent events as bytes, as they arrive. The status is 204 if no further step can come."""

    @property
    def status(self) -> int: ...
    @property
    def chunks(self) -> AsyncIterator[bytes]: ...


class Ordering(Protocol):
    """The orders of the principal of a token. Each method raises Unavailable or Refused."""

    async def place(
        self, token: str, key: str, *, cart_version: str, payment_method: str, address: Address, total: Money
    ) -> Placed:
        """Repeating the call with the same key and arguments returns the same order."""

    async def list(self, token: str, cursor: str | None = None, limit: int = 20) -> Orders: ...
    async def get(self, token: str, id: str) -> Order: ...
    async def cancel(self, token: str, id: str) -> Order: ...
    def events(self, token: str, id: str, last_event_id: str | None) -> AbstractAsyncContextManager[Events]: ...
