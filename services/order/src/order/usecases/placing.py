"""Placing an order: check the cart, price it, and store the order in a transaction shared with concurrent requests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from uuid import UUID

from chassis import outbox, tracing
from chassis.batching import Batcher
from chassis.db import Database
from chassis.errors import Conflict, Invalid, Unavailable
from chassis.ids import uuid7
from order import metrics, repository
from order.models import NewOrder
from order.usecases.deduplication import Deduplication, Key, Placed
from order.usecases.pricing import Pricing, Products

__all__ = ["Cart", "Carts", "PlaceOrder", "Placement"]

MAX_BACKLOG_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Cart:
    """A cart's version, and (SKU, quantity) of each item."""

    version: str | None
    items: Sequence[tuple[str, int]]


class Carts(Protocol):
    async def read(self, token: str) -> Cart:
        """Returns the cart of the principal with this token. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """A validated request. `request_hash` is the SHA-256 of its body with sorted keys. Amounts are in minor units."""

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


class Placement:
    """Places orders, also concurrently. `backlog` returns the age of the oldest outbox row, in seconds."""

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
        self._ttl_seconds = ttl_seconds
        self._backlog = backlog
        self._deduplication = Deduplication(db)
        self._pricing = Pricing(products, currency)
        self._commits = Batcher(self._commit)

    async def place(self, request: PlaceOrder) -> Placed:
        """Places an order. If it raises Conflict, Invalid or Unavailable, nothing is stored."""
        return await self._deduplication.once(request.key, request.request_hash, partial(self._place, request))

    async def _place(self, request: PlaceOrder) -> UUID:
        if self._backlog() > MAX_BACKLOG_SECONDS:
            raise Unavailable(
                "backlog", "Too many orders are waiting to be processed", "Try again in a minute.", retry_after=30
            )
        return await self._commits.submit(await self._priced(request))

    async def _priced(self, request: PlaceOrder) -> NewOrder:
        cart = await self._carts.read(request.token)
        if cart.version != request.cart_version:
            await self._refuse_if_ordered(request)
        if not cart.items:
            raise Invalid("cart-empty", "The cart is empty", "Put something into it first.")
        if cart.version != request.cart_version:
            raise Conflict(
                "cart-changed",
                "The cart has another version",
                "Read the cart again, and order that version.",
                cart_version=cart.version,
            )
        try:
            quote = await self._pricing.quote(cart.items)
        except Conflict:  # the stock may be gone because this cart has taken it
            await self._refuse_if_ordered(request)
            raise
        if (quote.total, quote.currency) != (request.expected_amount, request.expected_currency):
            raise Conflict(
                "price-changed",
                "The total differs from the expected one",
                "Show the quote, and order with its total.",
                quote={"amount": quote.total, "currency": quote.currency},
            )
        return NewOrder(
            id=uuid7(),
            principal=request.principal,
            idempotency_key=request.idempotency_key,
            request_hash=request.request_hash,
            cart_version=request.cart_version,
            payment_method=request.payment_method,
            shipping_address=request.shipping_address,
            lines=quote.lines,
            total=quote.total,
            currency=quote.currency,
            traceparent=tracing.traceparent(),
        )

    async def _refuse_if_ordered(self, request: PlaceOrder) -> None:
        async with self._db.connection() as connection:
            if await repository.cart_was_ordered(connection, request.principal, request.cart_version):
                raise _already_ordered()

    async def _commit(self, orders: list[NewOrder]) -> list[UUID | Exception]:
        orders_by_key = sorted(orders, key=lambda order: (order.principal, order.idempotency_key))
        traces = {order.id: order.traceparent for order in orders}
        commands = outbox.drafts([(order.id, order.reserve()) for order in orders], traces)
        async with self._db.connection() as connection:
            sent = await repository.add_orders(connection, orders_by_key, commands, self._ttl_seconds)
            stored = [command for order, command in zip(orders, commands, strict=True) if order.id in sent]
            outbox.left(connection, stored, sent.values())
        metrics.placed.inc(len(sent))
        return [order.id if order.id in sent else _already_ordered() for order in orders]


def _already_ordered() -> Conflict:
    return Conflict("cart-already-ordered", "This version of the cart has been ordered", "See GET /api/orders.")
