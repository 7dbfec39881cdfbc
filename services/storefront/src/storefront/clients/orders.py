"""The client of order."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import msgspec

from chassis.http import HttpClient, Stream
from storefront.clients.answers import bearer, decoded
from storefront.usecases.remote import Address, Money, Order, Orders, Placed

__all__ = ["OrderClient"]


class OrderClient:
    """`streams` is a client of its own, because each open stream holds a connection."""

    def __init__(self, http: HttpClient, streams: HttpClient) -> None:
        self._http = http
        self._streams = streams

    async def place(
        self, token: str, key: str, *, cart_version: str, payment_method: str, address: Address, total: Money
    ) -> Placed:
        body = msgspec.json.encode(
            {
                "cart_version": cart_version,
                "payment_method": payment_method,
                "shipping_address": address,
                "expected_total": total,
            }
        )
        headers = bearer(token) | {"Content-Type": "application/json", "Idempotency-Key": key}
        response = await self._http.request("POST", "/api/orders", headers=headers, body=body, retry=True)
        return decoded(response, Placed, "order")

    async def list(self, token: str, cursor: str | None = None, limit: int = 20) -> Orders:
        query = urlencode({"limit": limit} | ({"cursor": cursor} if cursor else {}))
        return decoded(await self._http.get(f"/api/orders?{query}", headers=bearer(token)), Orders, "order")

    async def get(self, token: str, id: str) -> Order:
        return decoded(await self._http.get(f"/api/orders/{id}", headers=bearer(token)), Order, "order")

    async def cancel(self, token: str, id: str) -> Order:
        path = f"/api/orders/{id}/cancel"
        return decoded(await self._http.request("POST", path, headers=bearer(token)), Order, "order")

    @asynccontextmanager
    async def events(self, token: str, id: str, last_event_id: str | None) -> AsyncIterator[Stream]:
        """Opens the stream of an order's steps, as order sends them."""
        headers = bearer(token) | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        async with self._streams.stream(f"/api/orders/{id}/events", headers=headers) as stream:
            yield stream
