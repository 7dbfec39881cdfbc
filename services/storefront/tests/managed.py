"""The APIs of the other services that only managers may call, as storefront sees them; a part of `Others`."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

Problem = Callable[..., web.Response]

AT = "2026-01-01T00:00:00Z"


class Managed:
    """`versions` are those of the products in `products`; `letters` are the numbers of dead letters by service.

    `orders` and `payments` are by order ID, `accounts` by ID. `restocks` are (SKU, ID) → quantity.
    """

    def __init__(self, products: dict[str, dict[str, Any]], problem: Problem) -> None:
        self.products = products
        self.problem = problem
        self.versions: dict[str, int] = {}
        self.restocks: dict[tuple[str, str], int] = {}
        self.orders: dict[str, dict[str, Any]] = {}
        self.payments: dict[str, dict[str, Any]] = {}
        self.accounts: dict[str, dict[str, Any]] = {}
        self.letters = {"products": 0, "carts": 0, "orders": 0, "payments": 0}
        self.queries: list[Mapping[str, str]] = []

    def routes(self) -> list[web.RouteDef]:
        return [
            *(web.get(f"/api/admin/{plural}/dead-letters", self._dead_letters) for plural in self.letters),
            web.get("/api/admin/products", self._list_products),
            web.get("/api/admin/products/{sku}", self._read_product),
            web.get("/api/admin/products/{sku}/stock-history", self._history),
            web.post("/api/catalog/products", self._create),
            web.patch("/api/catalog/products/{sku}", self._change),
            web.delete("/api/catalog/products/{sku}", self._hide),
            web.post("/api/catalog/products/{sku}/restore", self._restore),
            web.put("/api/catalog/products/{sku}/restocks/{id}", self._restock),
            web.get("/api/admin/orders", self._list_orders),
            web.get("/api/admin/orders/{id}", self._read_order),
            web.post("/api/admin/orders/{id}/refund", self._refund),
            web.get("/api/admin/payments", self._list_payments),
            web.get("/api/admin/payments/{id}", self._read_payment),
            web.get("/api/admin/accounts", self._accounts),
        ]

    def order(self, id: str, status: str = "CONFIRMED", principal: str = "guest", **members: Any) -> None:
        """Adds an order."""
        self.orders[id] = {
            "id": id,
            "principal": principal,
            "status": status,
            "total": {"amount": 2500, "currency": "EUR"},
            "lines": [
                {"sku": "MUG-1", "name": "A mug", "quantity": 2, "unit_price": {"amount": 1250, "currency": "EUR"}}
            ],
            "shipping_address": {
                "name": "Ann",
                "line1": "Quay 1",
                "city": "Emden",
                "postal_code": "26721",
                "country": "DE",
            },
            "created_at": AT,
            "expires_at": AT,
            "history": [{"seq": 1, "status": "PENDING", "at": AT}, {"seq": 2, "status": status, "at": AT}],
        } | members

    def pay(self, order_id: str, state: str = "CAPTURED", **members: Any) -> None:
        """Adds a payment."""
        self.payments[order_id] = {
            "order_id": order_id,
            "state": state,
            "amount": 2500,
            "currency": "EUR",
            "provider": "psp",
            "provider_reference": "ch_1",
            "reason": None,
            "stuck": False,
            "attempts": 1,
            "next_attempt_at": None,
            "created_at": AT,
            "updated_at": AT,
        } | members

    def version(self, sku: str) -> str:
        return f'"{self.versions.get(sku, 1)}-1"'

    async def _dead_letters(self, request: web.Request) -> web.Response:
        plural = request.path.split("/")[3]
        return web.json_response({"queue": f"{plural}.dead", "messages": self.letters[plural]})

    def _shown(self, sku: str) -> dict[str, Any]:
        return {"hidden": False, "held": 0, "sold": 0} | self.products[sku]

    async def _list_products(self, request: web.Request) -> web.Response:
        self.queries.append(dict(request.query))
        query = request.query
        if "\0" in query.get("q", ""):
            return self._invalid("q")
        by_available = query.get("sort") == "available"

        def key(product: dict[str, Any]) -> tuple[int, str]:
            return (product["available"] if by_available else 0, product["sku"])

        available, _, sku = query.get("cursor", "").rpartition(":")
        found = [
            product
            for product in sorted(map(self._shown, self.products), key=key)
            if query.get("q", "").lower() in (product["sku"] + product["name"]).lower()
            and query.get("hidden", str(product["hidden"]).lower()) == str(product["hidden"]).lower()
            and product["available"] < int(query.get("below", 10**9))
            and key(product) > (int(available or 0), sku)
        ]
        limit = int(query["limit"])
        last = found[limit - 1] if len(found) > limit else None
        more = last and (f"{last['available']}:{last['sku']}" if by_available else last["sku"])
        return web.json_response({"items": found[:limit], "next_cursor": more})

    async def _read_product(self, request: web.Request) -> web.Response:
        sku = request.match_info["sku"]
        if sku not in self.products:
            return self.problem(404, "unknown-sku")
        return web.json_response(self._shown(sku), headers={"ETag": self.version(sku)})

    async def _history(self, request: web.Request) -> web.Response:
        added = [
            {"kind": "restock", "id": id, "quantity": quantity, "state": None, "at": AT}
            for (sku, id), quantity in self.restocks.items()
            if sku == request.match_info["sku"]
        ]
        sold = [{"kind": "reservation", "id": id, "quantity": 2, "state": "SOLD", "at": AT} for id in self.orders]
        return web.json_response({"items": added + sold})

    def _invalid(self, *fields: str) -> web.Response:
        return self.problem(422, "invalid-request", errors=[{"field": name, "message": "is wrong"} for name in fields])

    def _wrong(self, body: dict[str, Any]) -> web.Response | None:
        """Returns catalog's refusal of a body, if it has one."""
        patterns = {"sku": r"[A-Z0-9-]+", "name": r"[^\0\u202e]{1,200}", "category": r"[a-z-]+"}
        patterns |= {"description": r"[^\0]*", "image_url": r"[^\0]*"}
        wrong = [
            f"body.{name}"
            for name, pattern in patterns.items()
            if name in body and not re.fullmatch(pattern, body[name] or "")
        ]
        if body["price"]["amount"] < 1:
            wrong.append("body.price.amount")
        if wrong:
            return self._invalid(*wrong)
        return None if body["price"]["currency"] == "EUR" else self.problem(422, "wrong-currency")

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        if (refusal := self._wrong(body)) is not None:
            return refusal
        if body["sku"] in self.products:
            return self.problem(409, "sku-taken")
        self.products[body["sku"]] = body | {"available": 0}
        return web.json_response(self._shown(body["sku"]), status=201)

    async def _change(self, request: web.Request) -> web.Response:
        sku, body = request.match_info["sku"], await request.json()
        return self._wrong(body) or self._conflict(request) or self._changed(sku, body)

    def _conflict(self, request: web.Request) -> web.Response | None:
        sku = request.match_info["sku"]
        if sku not in self.products or self._shown(sku)["hidden"]:
            return self.problem(404, "unknown-sku")
        return None if request.headers["If-Match"] == self.version(sku) else self.problem(412, "product-changed")

    def _changed(self, sku: str, changes: dict[str, Any]) -> web.Response:
        self.products[sku] |= changes
        self.versions[sku] = self.versions.get(sku, 1) + 1
        return web.json_response(self._shown(sku))

    async def _hide(self, request: web.Request) -> web.Response:
        if (refusal := self._conflict(request)) is not None:
            return refusal
        self._changed(request.match_info["sku"], {"hidden": True})
        return web.Response(status=204)

    async def _restore(self, request: web.Request) -> web.Response:
        return self._changed(request.match_info["sku"], {"hidden": False})

    async def _restock(self, request: web.Request) -> web.Response:
        key, quantity = (request.match_info["sku"], request.match_info["id"]), (await request.json())["quantity"]
        if key[0] not in self.products:
            return self.problem(404, "unknown-sku")
        if self.restocks.get(key, quantity) != quantity:
            return self.problem(409, "restock-differs")
        if key not in self.restocks:
            self.restocks[key] = quantity
            self.products[key[0]]["available"] += quantity
        return web.json_response({}, status=201)

    async def _list_orders(self, request: web.Request) -> web.Response:
        self.queries.append(dict(request.query))
        query = request.query
        if "\0" in query.get("principal", "") or int(query.get("waiting_seconds", 0)) > 10**9:
            return self._invalid("query")
        found = [
            {name: value for name, value in order.items() if name != "history"}
            for order in self.orders.values()
            if order["status"] == query.get("status", order["status"])
            and order["principal"] == query.get("principal", order["principal"])
            and ("waiting_seconds" not in query or order["status"] in ("PENDING", "RESERVED"))
        ]
        return web.json_response({"items": found, "next_cursor": None})

    async def _read_order(self, request: web.Request) -> web.Response:
        order = self.orders.get(request.match_info["id"])
        return web.json_response(order) if order else self.problem(404, "order-not-found")

    async def _refund(self, request: web.Request) -> web.Response:
        order = self.orders.get(request.match_info["id"])
        if order is None:
            return self.problem(404, "order-not-found")
        if order["status"] != "CONFIRMED":
            return self.problem(409, "not-refundable")
        order["status"] = "REFUNDING"
        return web.json_response(order, status=202)

    async def _list_payments(self, request: web.Request) -> web.Response:
        query = request.query
        found = [
            payment
            for payment in self.payments.values()
            if payment["state"] == query.get("state", payment["state"]) and (payment["stuck"] or "stuck" not in query)
        ]
        return web.json_response({"items": found, "next_cursor": None})

    async def _read_payment(self, request: web.Request) -> web.Response:
        payment = self.payments.get(request.match_info["id"])
        return web.json_response(payment) if payment else self.problem(404, "unknown-payment")

    async def _accounts(self, request: web.Request) -> web.Response:
        query = request.query
        items = [a for a in self.accounts.values() if a["id"] == query.get("id") or a["email"] == query.get("email")]
        return web.json_response({"items": items})
