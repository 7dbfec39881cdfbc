"""The client of cart."""

from urllib.parse import quote

import msgspec

from chassis.http import HttpClient
from storefront.clients.answers import bearer, decoded
from storefront.usecases.remote import Cart

__all__ = ["CartClient"]


class CartClient:
    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def get(self, token: str) -> Cart:
        return decoded(await self._http.get("/api/cart", headers=bearer(token)), Cart, "cart")

    async def put(self, token: str, sku: str, quantity: int) -> Cart:
        return await self._change("PUT", f"/items/{quote(sku, safe='')}", token, {"quantity": quantity})

    async def remove(self, token: str, sku: str) -> Cart:
        return await self._change("DELETE", f"/items/{quote(sku, safe='')}", token)

    async def merge(self, token: str, guest: str) -> Cart:
        return await self._change("POST", "/merge", token, {"guest_token": guest})

    async def _change(self, method: str, path: str, token: str, body: dict[str, object] | None = None) -> Cart:
        """Each change can be repeated: quantities are absolute, and a merge takes the larger one."""
        headers = bearer(token) | ({"Content-Type": "application/json"} if body is not None else {})
        sent = None if body is None else msgspec.json.encode(body)
        response = await self._http.request(method, f"/api/cart{path}", headers=headers, body=sent, retry=True)
        return decoded(response, Cart, "cart")
