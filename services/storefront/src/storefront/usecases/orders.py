"""A shopper's orders: those of the session, and those from before a login, which only the guest's token opens."""

import asyncio
from collections.abc import Mapping, Sequence

from chassis.errors import NotFound, Problem
from storefront.usecases.remote import Carts, Catalog, Order, Ordering, OrderLine, Orders, Product, Refused
from storefront.usecases.sessions import Visit

__all__ = ["cancel", "find", "history", "not_found", "order_again", "products_of", "tokens_of"]

PUTS_AT_ONCE = 8


async def tokens_of(visit: Visit) -> list[str]:
    """Returns the tokens that open this visitor's orders, the session's first. A stranger has none."""
    await visit.certain()
    if not visit.known:
        return []
    own = await visit.token()
    guest = visit.session.guest if visit.session else None
    return [own, guest.access] if guest else [own]


async def find(orders: Ordering, tokens: Sequence[str], id: str) -> Order:
    """Raises NotFound for another shopper's order too."""
    for token in tokens:
        try:
            return await orders.get(token, id)
        except Refused as refusal:
            _unless_missing(refusal, tokens, token)
    raise not_found()


async def products_of(catalog: Catalog, order: Order) -> Mapping[str, Product]:
    """Returns the products of an order for their pictures. Without catalog, the order is shown without them."""
    try:
        return await catalog.by_skus([line.sku for line in order.lines])
    except Problem:
        return {}


async def cancel(orders: Ordering, tokens: Sequence[str], id: str) -> bool:
    """Starts to undo an order. Returns False if it is too late. Raises NotFound."""
    for token in tokens:
        try:
            await orders.cancel(token, id)
        except Refused as refusal:
            if refusal.slug == "not-cancellable":
                return False
            _unless_missing(refusal, tokens, token)
        else:
            return True
    raise not_found()


async def history(orders: Ordering, tokens: Sequence[str], before: str | None) -> tuple[Orders, list[Order]]:
    """Returns the orders of the session, older ones than `before`, and at first also the newest of the guest."""
    if not tokens:
        return Orders([]), []
    if before or len(tokens) < 2:
        return await orders.list(tokens[0], before), []
    return await asyncio.gather(orders.list(tokens[0]), _guest_orders(orders, tokens[1]))


async def _guest_orders(orders: Ordering, token: str) -> list[Order]:
    try:
        return (await orders.list(token)).items
    except Refused:  # the guest's token has expired
        return []


async def order_again(carts: Carts, token: str, order: Order) -> bool:
    """Puts an order's lines into the cart, where a larger quantity stays.

    Returns False if some are no longer sold, or do not fit in. Raises Unavailable and Refused.
    """
    present = {line.sku: line.quantity for line in (await carts.get(token)).items}
    slots = asyncio.Semaphore(PUTS_AT_ONCE)

    async def put(line: OrderLine) -> bool:
        async with slots:
            try:
                await carts.put(token, line.sku, max(line.quantity, present.get(line.sku, 0)))
            except Refused as refusal:
                if refusal.slug not in ("unknown-sku", "cart-full"):
                    raise
                return False
        return True

    try:
        async with asyncio.TaskGroup() as tasks:
            puts = [tasks.create_task(put(line)) for line in order.lines]
    except ExceptionGroup as failed:  # the other calls were cancelled
        raise failed.exceptions[0] from None
    return all(each.result() for each in puts)


def not_found() -> NotFound:
    return NotFound("order-not-found", "There is no such order", "Orders of this device or account are at /orders.")


def _unless_missing(refusal: Refused, tokens: Sequence[str], token: str) -> None:
    """Raises the refusal, unless it means that this token does not open the order."""
    if refusal.status != 404 and not (refusal.status == 401 and token != tokens[0]):
        raise refusal
