"""Pricing a cart by the catalog. Concurrent requests share the catalog's responses."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from chassis.batching import Batcher
from chassis.errors import Conflict, Invalid, Unavailable
from order.models import OrderLine

__all__ = ["Pricing", "Product", "Products", "Quote"]

MAX_SKUS = 100  # the limit of one call to the catalog


@dataclass(frozen=True, slots=True)
class Product:
    """A product on sale. `available` is how many units nobody holds; it may be out of date."""

    name: str
    amount: int
    currency: str
    available: int


class Products(Protocol):
    async def find(self, skus: Collection[str]) -> Mapping[str, Product]:
        """Returns the products on sale among these SKUs, at most 100. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class Quote:
    """The price of a cart now. `total` is in minor units."""

    lines: tuple[OrderLine, ...]
    total: int
    currency: str


class Pricing:
    def __init__(self, products: Products, currency: str) -> None:
        self._products = products
        self._currency = currency
        self._prices = Batcher(self._find)

    async def quote(self, items: Sequence[tuple[str, int]]) -> Quote:
        """Prices (SKU, quantity) pairs.

        Raises Invalid for a SKU that is not on sale, Conflict if the stock does not suffice, and Unavailable. Only the
        reservation decides who gets the stock; refusing here saves an order that it would reject.
        """
        products = await self._prices.submit(frozenset(sku for sku, _ in items))
        unknown = [sku for sku, _ in items if sku not in products]
        if unknown:
            raise Invalid("unknown-sku", "Some products are not on sale", "Take these out of the cart.", skus=unknown)
        short = [sku for sku, quantity in items if products[sku].available < quantity]
        if short:
            raise Conflict(
                "sold-out",
                "Some products are sold out, or fewer are left than the cart has",
                "Take these out of the cart, or order fewer of them.",
                skus=short,
            )
        lines = tuple(OrderLine(sku, products[sku].name, quantity, products[sku].amount) for sku, quantity in items)
        return Quote(lines, sum(line.quantity * line.unit_price for line in lines), self._currency)

    async def _find(self, wanted: list[frozenset[str]]) -> list[Mapping[str, Product] | Exception]:
        """Asks the catalog once for all carts of a batch. A failed call affects only the carts with its SKUs."""
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
                failures |= {sku: _foreign(sku) for sku, p in answer.items() if p.currency != self._currency}
        return [next((failures[sku] for sku in each if sku in failures), products) for each in wanted]


def _foreign(sku: str) -> Unavailable:
    return Unavailable(
        "currency-mismatch",
        f"The catalog sells {sku} in another currency",
        "Take it out of the cart; the shop has to correct its price.",
    )
