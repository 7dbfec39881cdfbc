"""Clients of the cart and catalog services, over HTTP."""

from collections.abc import Collection, Mapping
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from chassis.errors import Unavailable
from chassis.http import HttpClient, Response
from order.usecases.placing import Cart
from order.usecases.pricing import Product

__all__ = ["CartClient", "CatalogClient"]


class _Item(msgspec.Struct):
    sku: str
    quantity: int


class _Cart(msgspec.Struct):
    version: str | None
    items: list[_Item]


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
    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def read(self, token: str) -> Cart:
        response = await self._http.get("/api/cart", headers={"Authorization": f"Bearer {token}"})
        cart = _decoded(response, _Cart, "cart")
        return Cart(cart.version, [(item.sku, item.quantity) for item in cart.items])


class CatalogClient:
    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def find(self, skus: Collection[str]) -> Mapping[str, Product]:
        query = urlencode([("sku", sku) for sku in skus])
        found = _decoded(await self._http.get(f"/api/catalog/products?{query}"), _Products, "catalog")
        return {p.sku: Product(p.name, p.price.amount, p.price.currency, p.available) for p in found.items}


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
