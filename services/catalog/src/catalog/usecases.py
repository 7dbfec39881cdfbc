"""The use cases of catalog: stock for orders, restocks, and changes by the back office. Each is one transaction."""

import logging
from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from catalog import metrics
from catalog.messages import OrderConfirmed, ReleaseStock, ReserveStock, StockRejected, StockReserved
from catalog.models import Product, Reservation, Shelf, State, totals
from catalog.repository import products, stock
from chassis import inbox, outbox
from chassis.db import Connection, Database
from chassis.errors import Conflict, NotFound, PreconditionFailed
from chassis.messages import Event

__all__ = [
    "change_product",
    "confirm",
    "create_product",
    "hide_product",
    "release",
    "reserve",
    "restock",
    "restore_product",
]

log = logging.getLogger(__name__)

CONSUMER = "catalog"
M = TypeVar("M", OrderConfirmed, ReleaseStock)


async def reserve(db: Database, events: Sequence[Event[ReserveStock]]) -> None:
    """Holds stock for the orders, in order of arrival, and replies to each. An order gets all its lines or none.

    An order that was decided earlier gets the same reply again.
    """
    wanted = {event.data.order_id: totals(event.data.lines) for event in events}
    replies = outbox.drafts((event.data.order_id, StockReserved(order_id=event.data.order_id)) for event in events)
    async with db.connection() as connection:
        all_held = await stock.hold_all(connection, CONSUMER, [event.id for event in events], wanted, replies)
    if all_held:
        metrics.reservations.labels(metrics.RESERVED).inc(len(wanted))
    else:
        await _hold(db, events)


async def _hold(db: Database, events: Sequence[Event[ReserveStock]]) -> None:
    async with db.transaction() as tx:
        fresh = await inbox.first_time(tx, CONSUMER, events)
        wanted = {event.data.order_id: totals(event.data.lines) for event in fresh}
        new = await stock.claim(tx, wanted, State.HELD)
        decided = await stock.lock_reservations(tx, wanted.keys() - new)
        shelf = Shelf(await stock.lock_levels(tx, {sku for order in new for sku in wanted[order]}))
        for order in wanted:
            if order in new:
                decided[order] = shelf.hold(wanted[order])

        held = {order: wanted[order] for order in new if decided[order].state is State.HELD}
        await stock.set_states(tx, {order: decided[order] for order in new - held.keys()})
        await stock.add_lines(tx, held)
        await stock.write_levels(tx, shelf.changed)
        orders = [event.data.order_id for event in fresh]
        await outbox.put(tx, [(order, _answer(order, decided[order])) for order in orders])
    metrics.reservations.labels(metrics.RESERVED).inc(len(held))
    metrics.reservations.labels(metrics.REJECTED).inc(len(new) - len(held))


def _answer(order: UUID, reservation: Reservation) -> StockReserved | StockRejected:
    if reservation.state in (State.HELD, State.SOLD):
        return StockReserved(order_id=order)
    return StockRejected(order_id=order, skus=reservation.skus, reason=reservation.reason or "released")


async def confirm(db: Database, events: Sequence[Event[OrderConfirmed]]) -> None:
    """Marks the stock that the orders hold as sold. Does nothing for an order in another state."""
    orders = {event.data.order_id for event in events}
    async with db.connection() as connection:
        if await stock.sell_all(connection, CONSUMER, [event.id for event in events], orders):
            return
    await _sell(db, events)


async def _sell(db: Database, events: Sequence[Event[OrderConfirmed]]) -> None:
    async with db.transaction() as tx:
        orders = await _orders(tx, events)
        reservations = await stock.lock_reservations(tx, orders)
        for order in orders - reservations.keys():
            log.error(
                "order %s is confirmed, but has no reservation", order, extra={"fields": {"order_id": str(order)}}
            )
        held = {order for order, each in reservations.items() if each.state is State.HELD}
        lines = await stock.lines_of(tx, held)
        shelf = Shelf(await stock.lock_levels(tx, {sku for each in lines.values() for sku in each}))
        for order in held:
            shelf.sell(lines[order])
        await stock.set_states(tx, dict.fromkeys(held, Reservation(State.SOLD)))
        await stock.write_levels(tx, shelf.changed)


async def release(db: Database, events: Sequence[Event[ReleaseStock]]) -> None:
    """Releases the stock that is held or sold for the orders.

    An order without a reservation gets a tombstone, which refuses a reserve that comes later.
    """
    async with db.transaction() as tx:
        orders = await _orders(tx, events)
        tombstones = await stock.claim(tx, orders, State.RELEASED)
        reservations = await stock.lock_reservations(tx, orders - tombstones)
        back = {o: each.state for o, each in reservations.items() if each.state in (State.HELD, State.SOLD)}
        lines = await stock.lines_of(tx, back)
        shelf = Shelf(await stock.lock_levels(tx, {sku for each in lines.values() for sku in each}))
        for order, state in back.items():
            shelf.release(lines[order], state)
        await stock.set_states(tx, dict.fromkeys(back, Reservation(State.RELEASED)))
        await stock.write_levels(tx, shelf.changed)


async def _orders(tx: Connection, events: Sequence[Event[M]]) -> set[UUID]:
    return {event.data.order_id for event in await inbox.first_time(tx, CONSUMER, events)}


async def restock(db: Database, id: str, sku: str, quantity: int) -> bool:
    """Adds a restock to the available stock, once for each ID. Returns whether it was added now.

    Raises NotFound, or Conflict (`restock-differs`) if the ID belongs to another restock.
    """
    async with db.transaction() as tx:
        levels = await stock.lock_levels(tx, [sku])
        if sku not in levels:
            raise _unknown(sku)
        earlier = await stock.add_restock(tx, id, sku, quantity)
        if earlier is None:
            levels[sku].available += quantity
            await stock.write_levels(tx, levels)
        elif earlier != (sku, quantity):
            raise Conflict(
                "restock-differs",
                "This restock was recorded with another SKU or quantity",
                "Use a new ID for another restock.",
            )
        return earlier is None


async def create_product(db: Database, product: Product) -> None:
    """Adds a product without stock. Raises Conflict (`sku-taken`), also if the product with this SKU is hidden."""
    async with db.transaction() as tx:
        if await products.add(tx, product):
            return
        hidden = await products.is_hidden(tx, product.sku)
    if hidden:
        back = f"Restore it with POST /api/catalog/products/{product.sku}/restore, or choose another SKU."
        raise Conflict("sku-taken", f"The SKU {product.sku} belongs to a hidden product", back)
    raise Conflict("sku-taken", f"The SKU {product.sku} belongs to another product", "Choose another SKU.")


async def change_product(db: Database, sku: str, versions: Sequence[int] | None, changes: dict[str, Any]) -> None:
    """Changes fields of a product. Its version must be one of `versions`; None permits any.

    Raises NotFound or PreconditionFailed (`product-changed`).
    """
    async with db.transaction() as tx:
        product = await _at_version(tx, sku, versions)
        await products.change(tx, msgspec.structs.replace(product, **changes))


async def hide_product(db: Database, sku: str, versions: Sequence[int] | None) -> None:
    """Removes a product from every list; its stock and orders stay. Raises the errors of `change_product`."""
    async with db.transaction() as tx:
        await _at_version(tx, sku, versions)
        await products.hide(tx, sku)


async def restore_product(db: Database, sku: str) -> None:
    """Shows a hidden product in the lists again; a product that is shown does not change. Raises NotFound."""
    async with db.transaction() as tx:
        if not await products.restore(tx, sku):
            raise _unknown(sku)


async def _at_version(tx: Connection, sku: str, versions: Sequence[int] | None) -> Product:
    found = await products.lock(tx, sku)
    if found is None:
        raise _unknown(sku)
    product, version = found
    if versions is not None and version not in versions:
        raise PreconditionFailed(
            "product-changed", "The product has changed since it was read", "Read it again and use its new ETag."
        )
    return product


def _unknown(sku: str) -> NotFound:
    return NotFound("unknown-sku", f"There is no product {sku}", "See GET /api/catalog/products.")
