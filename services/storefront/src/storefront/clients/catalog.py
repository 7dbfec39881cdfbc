"""The client of catalog."""

from collections.abc import Sequence
from urllib.parse import quote, urlencode

import msgspec

from chassis.http import HttpClient
from storefront.clients.answers import decoded
from storefront.usecases.remote import Category, Product, Products

__all__ = ["CatalogClient"]


class _Categories(msgspec.Struct):
    items: list[Category]


class CatalogClient:
    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def categories(self) -> list[Category]:
        return decoded(await self._http.get("/api/catalog/categories"), _Categories, "catalog").items

    async def products(self, **query: str | int | None) -> Products:
        given = urlencode({name: value for name, value in query.items() if value is not None})
        return decoded(await self._http.get(f"/api/catalog/products?{given}"), Products, "catalog")

    async def product(self, sku: str) -> Product:
        response = await self._http.get(f"/api/catalog/products/{quote(sku, safe='')}")
        product = decoded(response, Product, "catalog")
        return msgspec.structs.replace(product, version=response.headers.get("ETag"))

    async def by_skus(self, skus: Sequence[str]) -> dict[str, Product]:
        if not skus:
            return {}
        query = urlencode([("sku", sku) for sku in skus] + [("limit", str(len(skus)))])
        found = decoded(await self._http.get(f"/api/catalog/products?{query}"), Products, "catalog")
        return {product.sku: product for product in found.items}
