"""Placing an order: once for each key, priced by the catalogue, in a transaction shared with whoever else is here."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from chassis import outbox, telemetry
from chassis.batching import Batcher
from chassis.db import Database
from chassis.errors import Conflict, Invalid, Problem, Unavailable
from chassis.ids import uuid7
from chassis.waiting import seconds_left
from order import repository
from order.models import NewOrder, OrderLine

__all__ = ["Cart", "Carts", "PlaceOrder", "Placed", "Placement", "Product", "Products"]

MAX_BACKLOG_SECONDS = 30.0
MAX_WAIT_SECONDS = 2.0
MAX_SKUS = 100  # what one call to the catalogue takes

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Cart:
    version: str | None
    items: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Product:
    name: str
    amount: int
    currency: str


class Carts(Protocol):
    async def read(self, token: str) -> Cart:
        """The cart of the shopper with this token. Raises Unavailable."""


class Products(Protocol):
    async def find(self, skus: Collection[str]) -> Mapping[str, Product]:
        """Those of at most 100 SKUs that are on sale. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """A validated request. `request_hash` is SHA-256 of its body with sorted keys; amounts in minor units."""

    principal: str
    token: str
    idempotency_key: str
    request_hash: bytes
    cart_version: str
    payment_method: str
    shipping_address: bytes
    expected_amount: int
    expected_currency: str

    @property
    def key(self) -> Key:
        return self.principal, self.idempotency_key


@dataclass(frozen=True, slots=True)
class Placed:
    order_id: UUID
    replayed: bool


class Placement:
    """`place` may be called by any number of callers at once; `backlog` tells the age of the oldest outbox row."""

    def __init__(
        self,
        db: Database,
        carts: Carts,
        products: Products,
        *,
        currency: str,
        ttl_seconds: int,
        backlog: Callable[[], float],
    ) -> None:
        self._db = db
        self._carts = carts
        self._products = products
        self._currency = currency
        self._ttl_seconds = ttl_seconds
        self._backlog = backlog
        self._in_flight: dict[Key, asyncio.Future[None]] = {}
        self._keys = Batcher(self._find_keys)
        self._prices = Batcher(self._find_prices)
        self._commits = Batcher(self._commit)

    async def place(self, request: PlaceOrder) -> Placed:
        """Raises Conflict, Invalid or Unavailable; then nothing is stored."""
        left = seconds_left()
        give_up = time.monotonic() + (MAX_WAIT_SECONDS if left is None else min(left, MAX_WAIT_SECONDS))
        while first := self._in_flight.get(request.key):
            try:
                await asyncio.wait_for(asyncio.shield(first), give_up - time.monotonic())
            except TimeoutError:
                raise Conflict(
                    "in-flight",
                    "The first request with this key is still being handled",
                    "Send the same request again in a moment.",
                ) from None
            if placed := await self._replay(request):
                return placed
        done = self._in_flight[request.key] = asyncio.get_running_loop().create_future()
        try:
            return await self._place(request)
        finally:
            del self._in_flight[request.key]
            done.set_result(None)

    async def _place(self, request: PlaceOrder) -> Placed:
        if placed := await self._replay(request):
            return placed
        try:
            if self._backlog() > MAX_BACKLOG_SECONDS:
                raise Unavailable(
                    "backlog", "Orders are waiting to be handled", "Try again in a minute.", retry_after=30
                )
            return await self._commits.submit(await self._price(request))
        except Problem:
            if placed := await self._replay(request):  # another process has just placed it
                return placed
            raise

    async def _replay(self, request: PlaceOrder) -> Placed | None:
        found = await self._keys.submit(request.key)
        if found is None:
            return None
        order_id, request_hash = found
        if request_hash != request.request_hash:
            raise Invalid("key-reused", "This Idempotency-Key came with another body", "Use a new key for a new order.")
        return Placed(order_id, replayed=True)

    async def _price(self, request: PlaceOrder) -> NewOrder:
        cart = await self._carts.read(request.token)
        if cart.version != request.cart_version:
            await self._refuse_if_ordered(request)
        if not cart.items:
            raise Invalid("cart-empty", "The cart is empty", "Put something into it first.")
        if cart.version != request.cart_version:
            raise Conflict(
                "cart-changed", "The cart is not at this version", "Look at it again.", cart_version=cart.version
            )
        products = await self._prices.submit(frozenset(sku for sku, _ in cart.items))
        unknown = [sku for sku, _ in cart.items if sku not in products]
        if unknown:
            raise Invalid("unknown-sku", "Not on sale", "Take these out of the cart.", skus=unknown)
        lines = tuple(
            OrderLine(sku, products[sku].name, quantity, products[sku].amount) for sku, quantity in cart.items
        )
        total = sum(line.quantity * line.unit_price for line in lines)
        if (total, self._currency) != (request.expected_amount, request.expected_currency):
            raise Conflict(
                "price-changed",
                "The total is not the expected one",
                "Show the quote, and order with its total.",
                quote={"amount": total, "currency": self._currency},
            )
        return NewOrder(
            id=uuid7(),
            principal=request.principal,
            idempotency_key=request.idempotency_key,
            request_hash=request.request_hash,
            cart_version=request.cart_version,
            payment_method=request.payment_method,
            shipping_address=request.shipping_address,
            lines=lines,
            total=total,
            currency=self._currency,
            traceparent=telemetry.traceparent(),
        )

    async def _refuse_if_ordered(self, request: PlaceOrder) -> None:
        async with self._db.connection() as connection:
            if await repository.cart_was_ordered(connection, request.principal, request.cart_version):
                raise already_ordered()

    async def _find_keys(self, keys: list[Key]) -> list[tuple[UUID, bytes] | Exception | None]:
        async with self._db.connection() as connection:
            found = await repository.find_by_keys(connection, keys)
        return [found.get(key) for key in keys]

    async def _find_prices(self, wanted: list[frozenset[str]]) -> list[Mapping[str, Product] | Exception]:
        """One call for all that ask at once: its answer is as new as each would have got."""
        skus = sorted(frozenset().union(*wanted))
        parts = [skus[i : i + MAX_SKUS] for i in range(0, len(skus), MAX_SKUS)]
        answers = await asyncio.gather(*(self._products.find(part) for part in parts), return_exceptions=True)
        products: dict[str, Product] = {}
        failures: dict[str, Exception] = {}
        for part, answer in zip(parts, answers, strict=True):
            if isinstance(answer, Exception):
                failures |= dict.fromkeys(part, answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                products |= answer
                failures |= {sku: foreign(sku) for sku, p in answer.items() if p.currency != self._currency}
        return [next((failures[sku] for sku in each if sku in failures), products) for each in wanted]

    async def _commit(self, orders: list[NewOrder]) -> list[Placed | Exception]:
        orders_by_key = sorted(orders, key=lambda order: (order.principal, order.idempotency_key))
        async with self._db.transaction() as tx:
            stored = await repository.add_orders(tx, orders_by_key, self._ttl_seconds)
            messages = [(order.id, order.reserve()) for order in orders if order.id in stored]
            await outbox.put(tx, messages, {order.id: order.traceparent for order in orders})
        return [Placed(order.id, replayed=False) if order.id in stored else already_ordered() for order in orders]


def foreign(sku: str) -> Unavailable:
    return Unavailable(
        "currency-mismatch",
        f"The catalogue sells {sku} in another currency",
        "Take it out of the cart; the shop has to correct its price.",
    )


def already_ordered() -> Conflict:
    return Conflict("cart-already-ordered", "This version of the cart was ordered already", "See your orders.")
