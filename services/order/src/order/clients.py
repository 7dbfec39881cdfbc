"""Clients of the cart and catalog services, over HTTP."""

import asyncio
from collections.abc import Collection, Mapping
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from chassis.batching import Batcher
from chassis.errors import Unavailable
from chassis.http import HttpClient, Response
from order.usecases.placing import Cart
from order.usecases.pricing import Product

__all__ = ["CartClient", "CatalogClient"]

LINGER = 0.025
"""Seconds for which orders wait for others, to be placed together: they share the reads of carts and products and the
commit, and then each message of the saga (docs/performance.md)."""


class _Item(msgspec.Struct):
    sku: str
    quantity: int


class _Cart(msgspec.Struct):
    version: str | None
    items: list[_Item]


class _Carts(msgspec.Struct):
    carts: list[_Cart | None]


class _Price(msgspec.Struct):
    amount: int
    currency: str


class _Product(msgspec.Struct):
    sku: str
    name: str
    price: _Price
    available: int


class _Products(msgspec.Struct):
    items: list[_Product]


class CartClient:
    """Reads carts: one alone as any client does, and those of orders that are placed within LINGER in one call."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self._reads = Batcher(self._read_all, linger=LINGER)

    async def read(self, token: str) -> Cart:
        return await self._reads.submit(token)

    async def _read_all(self, tokens: list[str]) -> list[Cart | Exception]:
        try:
            if len(tokens) == 1:
                return [await self._alone(tokens[0])]
            return await self._together(tokens)
        except Unavailable as error:
            return [error] * len(tokens)

    async def _alone(self, token: str) -> Cart:
        response = await self._http.get("/api/cart", headers={"Authorization": f"Bearer {token}"})
        return _cart(_decoded(response, _Cart, "cart"))

    async def _together(self, tokens: list[str]) -> list[Cart | Exception]:
        body = msgspec.json.encode({"tokens": tokens})
        headers = {"Content-Type": "application/json"}
        response = await self._http.request("POST", "/internal/carts", headers=headers, body=body, retry=True)
        if response.status == 404:  # from the previous release, in an update
            return [cart for (cart,) in await asyncio.gather(*(self._read_all([token]) for token in tokens))]
        return [_refused() if cart is None else _cart(cart) for cart in _decoded(response, _Carts, "cart").carts]


class CatalogClient:
    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def find(self, skus: Collection[str]) -> Mapping[str, Product]:
        query = urlencode([("sku", sku) for sku in skus])
        found = _decoded(await self._http.get(f"/api/catalog/products?{query}"), _Products, "catalog")
        return {p.sku: Product(p.name, p.price.amount, p.price.currency, p.available) for p in found.items}


def _cart(cart: _Cart) -> Cart:
    return Cart(cart.version, [(item.sku, item.quantity) for item in cart.items])


def _refused() -> Unavailable:
    return Unavailable("cart-unavailable", "The cart service refuses the token", "Try again in a second.")


T = TypeVar("T")


def _decoded(response: Response, type: type[T], name: str) -> T:
    if response.status != 200:
        raise Unavailable(
            f"{name}-unavailable", f"The {name} service responded with {response.status}", "Try again in a second."
        )
    try:
        return msgspec.json.decode(response.body, type=type)
    except msgspec.DecodeError as error:
        raise Unavailable(
            f"{name}-unavailable", f"The response of the {name} service cannot be decoded: {error}", "Try again later."
        ) from error
