"""The clients of the back office. Each request carries the manager's token."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from chassis.http import HttpClient, Response
from storefront.clients.answers import bearer, decoded
from storefront.usecases.office import (
    DEAD_LETTERS,
    AnyOrder,
    AnyOrders,
    DeadLetters,
    ManagedProduct,
    ManagedProducts,
    NewProduct,
    Office,
    Payment,
    PaymentsList,
    StockEntry,
)
from storefront.usecases.remote import Account

__all__ = ["office"]

T = TypeVar("T")


def office(
    *, catalog: HttpClient, cart: HttpClient, order: HttpClient, payment: HttpClient, identity: HttpClient
) -> Office:
    return Office(
        ManagedCatalogClient(catalog),
        ManagedOrderClient(order),
        PaymentClient(payment),
        AccountClient(identity),
        MessageClient({"catalog": catalog, "cart": cart, "order": order, "payment": payment}),
    )


class _History(msgspec.Struct):
    items: list[StockEntry]


class _Accounts(msgspec.Struct):
    items: list[Account]


class _Service:
    """Sends requests to one service, and reads its answers."""

    def __init__(self, http: HttpClient, name: str) -> None:
        self._http = http
        self._name = name

    async def get(self, token: str, path: str, kind: type[T], **query: str | int | None) -> T:
        return decoded(await self._answer(token, path, **query), kind, self._name)

    async def get_with_etag(self, token: str, path: str, kind: type[T]) -> tuple[T, str | None]:
        answer = await self._answer(token, path)
        return decoded(answer, kind, self._name), answer.headers.get("ETag")

    async def get_once(self, token: str, path: str, kind: type[T]) -> T:
        """Does not retry, so it takes no longer than one timeout."""
        return decoded(await self._http.request("GET", path, headers=bearer(token)), kind, self._name)

    async def _answer(self, token: str, path: str, **query: str | int | None) -> Response:
        given = urlencode({name: value for name, value in query.items() if value is not None})
        return await self._http.get(path + (f"?{given}" if given else ""), headers=bearer(token))

    async def change(
        self,
        method: str,
        path: str,
        token: str,
        body: object = None,
        version: str | None = None,
        *,
        retry: bool = False,
    ) -> None:
        """Sends a change. Only one that can be repeated may be sent with `retry`."""
        headers = bearer(token)
        sent = None if body is None else msgspec.json.encode(body)
        if sent is not None:
            headers["Content-Type"] = "application/json"
        if version is not None:
            headers["If-Match"] = version
        answer = await self._http.request(method, path, headers=headers, body=sent, retry=retry)
        if answer.status != 204:
            decoded(answer, msgspec.Raw, self._name)


class ManagedCatalogClient:
    def __init__(self, http: HttpClient) -> None:
        self._catalog = _Service(http, "catalog")

    async def list(self, token: str, **query: str | int | None) -> ManagedProducts:
        return await self._catalog.get(token, "/api/admin/products", ManagedProducts, **query)

    async def get(self, token: str, sku: str) -> ManagedProduct:
        product, etag = await self._catalog.get_with_etag(token, _managed(sku), ManagedProduct)
        return msgspec.structs.replace(product, version=etag)

    async def history(self, token: str, sku: str) -> Sequence[StockEntry]:
        return (await self._catalog.get(token, f"{_managed(sku)}/stock-history", _History)).items

    async def create(self, token: str, product: NewProduct) -> None:
        await self._catalog.change("POST", "/api/catalog/products", token, product)

    async def change(self, token: str, sku: str, version: str, changes: dict[str, Any]) -> None:
        await self._catalog.change("PATCH", _product(sku), token, changes, version)

    async def hide(self, token: str, sku: str, version: str) -> None:
        await self._catalog.change("DELETE", _product(sku), token, version=version)

    async def restore(self, token: str, sku: str) -> None:
        await self._catalog.change("POST", f"{_product(sku)}/restore", token, retry=True)

    async def restock(self, token: str, sku: str, id: str, quantity: int) -> None:
        path = f"{_product(sku)}/restocks/{quote(id, safe='')}"
        await self._catalog.change("PUT", path, token, {"quantity": quantity}, retry=True)


class ManagedOrderClient:
    def __init__(self, http: HttpClient) -> None:
        self._order = _Service(http, "order")

    async def list(self, token: str, **query: str | int | None) -> AnyOrders:
        return await self._order.get(token, "/api/admin/orders", AnyOrders, **query)

    async def get(self, token: str, id: str) -> AnyOrder:
        return await self._order.get(token, f"/api/admin/orders/{quote(id, safe='')}", AnyOrder)

    async def refund(self, token: str, id: str) -> None:
        await self._order.change("POST", f"/api/admin/orders/{quote(id, safe='')}/refund", token)


class PaymentClient:
    def __init__(self, http: HttpClient) -> None:
        self._payment = _Service(http, "payment")

    async def list(self, token: str, **query: str | int | None) -> PaymentsList:
        return await self._payment.get(token, "/api/admin/payments", PaymentsList, **query)

    async def get(self, token: str, order_id: str) -> Payment:
        return await self._payment.get(token, f"/api/admin/payments/{quote(order_id, safe='')}", Payment)


class AccountClient:
    def __init__(self, http: HttpClient) -> None:
        self._identity = _Service(http, "identity")

    async def by_email(self, token: str, email: str) -> Account | None:
        return await self._first(token, email=email)

    async def by_id(self, token: str, id: str) -> Account | None:
        return await self._first(token, id=id)

    async def _first(self, token: str, **query: str) -> Account | None:
        found = await self._identity.get(token, "/api/admin/accounts", _Accounts, **query)
        return found.items[0] if found.items else None


class MessageClient:
    def __init__(self, services: Mapping[str, HttpClient]) -> None:
        self._services = {name: _Service(http, name) for name, http in services.items()}

    async def dead_letters(self, token: str, service: str) -> DeadLetters:
        """Asks once: while the broker is down, each service waits for it before it answers."""
        return await self._services[service].get_once(token, DEAD_LETTERS[service], DeadLetters)


def _managed(sku: str) -> str:
    return f"/api/admin/products/{quote(sku, safe='')}"


def _product(sku: str) -> str:
    return f"/api/catalog/products/{quote(sku, safe='')}"
