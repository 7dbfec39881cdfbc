"""What the back office asks of the other services: data that only a manager sees, and the changes that one makes.

Every call takes the manager's token. It raises Unavailable or Refused, as the calls in `remote` do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import msgspec

from storefront.usecases.remote import Account, Money, Order, Product

__all__ = [
    "DEAD_LETTERS",
    "AnyOrder",
    "AnyOrders",
    "DeadLetters",
    "ManagedAccounts",
    "ManagedCatalog",
    "ManagedOrders",
    "ManagedProduct",
    "ManagedProducts",
    "Messages",
    "NewProduct",
    "Office",
    "Payment",
    "Payments",
    "PaymentsList",
    "StockEntry",
]


class ManagedProduct(Product, frozen=True, kw_only=True):
    """`held` is for orders that are not confirmed yet. A `hidden` product is in no list of the shop."""

    hidden: bool
    held: int
    sold: int


class ManagedProducts(msgspec.Struct, frozen=True):
    items: list[ManagedProduct]
    next_cursor: str | None = None


class NewProduct(msgspec.Struct, frozen=True):
    sku: str
    name: str
    description: str
    category: str
    price: Money
    image_url: str | None = None


class StockEntry(msgspec.Struct, frozen=True):
    """A restock, or the reservation of an order (`id`), whose `state` is HELD, SOLD or RELEASED."""

    kind: str
    id: str
    quantity: int
    at: datetime
    state: str | None = None


class ManagedCatalog(Protocol):
    async def list(self, token: str, **query: str | int | None) -> ManagedProducts:
        """`query` has the parameters of GET /api/admin/products, of which None ones are left out."""

    async def get(self, token: str, sku: str) -> ManagedProduct: ...
    async def history(self, token: str, sku: str) -> Sequence[StockEntry]: ...
    async def create(self, token: str, product: NewProduct) -> None: ...

    async def change(self, token: str, sku: str, version: str, changes: dict[str, Any]) -> None:
        """Is refused with 412 if the product has changed since `version`, its ETag, was read; so is `hide`."""

    async def hide(self, token: str, sku: str, version: str) -> None: ...
    async def restore(self, token: str, sku: str) -> None: ...

    async def restock(self, token: str, sku: str, id: str, quantity: int) -> None:
        """Adds to the stock, once for each `id`."""


class AnyOrder(Order, frozen=True, kw_only=True):
    """An order and whose it is: the ID of an account, or of a guest. `trace_id` is that of its trace, if it has one."""

    principal: str
    trace_id: str | None = None


class AnyOrders(msgspec.Struct, frozen=True):
    items: list[AnyOrder]
    next_cursor: str | None = None


class ManagedOrders(Protocol):
    async def list(self, token: str, **query: str | int | None) -> AnyOrders:
        """`query` has the parameters of GET /api/admin/orders, of which None ones are left out."""

    async def get(self, token: str, id: str) -> AnyOrder: ...
    async def refund(self, token: str, id: str) -> None: ...


class Payment(msgspec.Struct, frozen=True):
    """One that was cancelled before its charge has no amount. `stuck` means that a person must decide."""

    order_id: str
    state: str
    stuck: bool
    attempts: int
    created_at: datetime
    updated_at: datetime
    amount: int | None = None
    currency: str | None = None
    provider: str | None = None
    provider_reference: str | None = None
    reason: str | None = None
    next_attempt_at: datetime | None = None

    @property
    def total(self) -> Money | None:
        return Money(self.amount, self.currency) if self.amount is not None and self.currency else None


class PaymentsList(msgspec.Struct, frozen=True):
    items: list[Payment]
    next_cursor: str | None = None


class Payments(Protocol):
    async def list(self, token: str, **query: str | int | None) -> PaymentsList:
        """`query` has the parameters of GET /api/admin/payments, of which None ones are left out."""

    async def get(self, token: str, order_id: str) -> Payment: ...


class ManagedAccounts(Protocol):
    async def by_email(self, token: str, email: str) -> Account | None: ...
    async def by_id(self, token: str, id: str) -> Account | None: ...


DEAD_LETTERS = {
    "catalog": "/api/admin/products/dead-letters",
    "cart": "/api/admin/carts/dead-letters",
    "order": "/api/admin/orders/dead-letters",
    "payment": "/api/admin/payments/dead-letters",
}
"""Where each service that consumes messages tells how many it could not handle."""


class DeadLetters(msgspec.Struct, frozen=True):
    queue: str
    messages: int


class Messages(Protocol):
    async def dead_letters(self, token: str, service: str) -> DeadLetters: ...


@dataclass(frozen=True, slots=True)
class Office:
    """The calls of the back office, by subject."""

    catalog: ManagedCatalog
    orders: ManagedOrders
    payments: Payments
    accounts: ManagedAccounts
    messages: Messages
