"""The other services as storefront sees them, in one server. `tests/contracts` checks that they answer like this."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self
from uuid import UUID

from aiohttp import web
from aiohttp.test_utils import TestServer

from chassis.ids import uuid7

from .managed import Managed

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SERVICES = {"orders": "order", "carts": "cart", "products": "catalog", "payments": "payment", "accounts": "identity"}
PASSWORD = "correct horse"


class Others:
    """`down` names the services, or the paths, that answer 503; `asked` lists the requests as `METHOD path`.

    `held` has the services that do not answer until its event is set. Of a path in `lost`, the next answer is lost: the
    request is carried out. `refused` has paths with the problem to answer.

    Products, carts, orders and accounts are plain dictionaries, which a test fills and reads. A guest's access token is
    `guest-1`, `guest-2` and so on; an account's is `account-<email>-1`, and its refresh token `refresh-<email>-1`.
    `refusals` are the next answers to new orders: status, slug and members. `events` are an order's events by its ID;
    the stream of an order in `lasting` goes on until its reader leaves, which sets the event.
    """

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.asked: list[str] = []
        self.held: dict[str, asyncio.Event] = {}
        self.lost: set[str] = set()
        self.refused: dict[str, web.Response] = {}
        self.products: dict[str, dict[str, Any]] = {}
        self.carts: dict[str, dict[str, int]] = defaultdict(dict)
        self.orders: dict[str, dict[str, Any]] = {}
        self.scopes: dict[str, str] = {}
        self.accounts: dict[str, str] = {}
        self.passwords: dict[str, str] = defaultdict(lambda: PASSWORD)
        self.clients: list[str | None] = []
        self.revoked: list[str] = []
        self.expires_in = 900
        self.refusals: list[tuple[int, str, dict[str, Any]]] = []
        self.events: dict[str, list[bytes]] = {}
        self.lasting: dict[str, asyncio.Event] = {}
        self.managed = Managed(self.products, problem)
        self._guests = itertools.count(1)
        self._grants: dict[str, int] = defaultdict(int)

    async def hear(self, request: str) -> None:
        """Waits until this request, as in `asked`, has arrived."""
        async with asyncio.timeout(30):
            while request not in self.asked:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def sell(self, sku: str, **members: Any) -> None:
        """Adds a product."""
        self.products[sku] = {
            "sku": sku,
            "name": f"Product {sku}",
            "description": "",
            "category": "home",
            "price": {"amount": 1250, "currency": "EUR"},
            "available": 10,
            "image_url": None,
        } | members

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._watch])
        app.router.add_routes(
            [
                web.get("/api/catalog/categories", self._categories),
                web.get("/api/catalog/products", self._list),
                web.get("/api/catalog/products/{sku}", self._product),
                web.get("/api/cart", self._cart),
                web.put("/api/cart/items/{sku}", self._put),
                web.delete("/api/cart/items/{sku}", self._remove),
                web.post("/api/cart/merge", self._merge),
                web.post("/api/identity/guests", self._guest),
                web.post("/api/identity/token", self._token),
                web.post("/api/identity/revoke", self._revoke),
                web.post("/api/identity/accounts", self._register),
                web.post("/api/identity/password", self._password),
                web.get("/api/identity/me", self._me),
                web.post("/api/orders", self._place),
                web.get("/api/orders", self._own_orders),
                web.get("/api/orders/{id}", self._order),
                web.post("/api/orders/{id}/cancel", self._cancel),
                web.get("/api/orders/{id}/events", self._events),
                *self.managed.routes(),
            ]
        )
        self._server = TestServer(app)
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    @property
    def url(self) -> str:
        return str(self._server.make_url(""))

    @web.middleware
    async def _watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        place = request.path.removeprefix("/api/admin").removeprefix("/api").split("/")[1]
        service = SERVICES.get(place, place)
        if {service, request.path} & self.down:
            return problem(503, f"{service}-unavailable")
        if service in self.held:
            await self.held[service].wait()
        if request.path in self.refused:
            return self.refused.pop(request.path)
        answer = await handler(request)
        if request.path in self.lost and request.transport is not None:
            self.lost.remove(request.path)
            request.transport.abort()
        return answer

    async def _categories(self, _: web.Request) -> web.Response:
        slugs = [product["category"] for product in self.products.values()]
        items = [{"slug": slug, "name": slug.title(), "products": slugs.count(slug)} for slug in sorted(set(slugs))]
        return web.json_response({"items": items})

    async def _list(self, request: web.Request) -> web.Response:
        query = request.query
        found = [
            product
            for product in self.products.values()
            if product["sku"] in query.getall("sku", [product["sku"]])
            and product["category"] == query.get("category", product["category"])
            and query.get("q", "").lower() in product["name"].lower()
            and int(query.get("min_price", 0)) <= product["price"]["amount"] <= int(query.get("max_price", 10**9))
            and (query.get("in_stock") != "true" or product["available"])
        ]
        if not query.get("cursor", "0").isdigit():
            return problem(422, "invalid-cursor")
        if "\u3164" in query.get("q", ""):  # invisible
            return problem(422, "invalid-request")
        if query.get("sort") == "-price":
            found.sort(key=lambda product: -product["price"]["amount"])
        start, limit = int(query.get("cursor", 0)), int(query.get("limit", 20))
        after = str(start + limit) if len(found) > start + limit else None
        return web.json_response({"items": found[start : start + limit], "next_cursor": after})

    async def _product(self, request: web.Request) -> web.Response:
        product = self.products.get(request.match_info["sku"])
        return web.json_response(product, headers={"ETag": '"1"'}) if product else problem(404, "unknown-sku")

    async def _cart(self, request: web.Request) -> web.Response:
        lines = self.carts[bearer(request)]
        version = str(UUID(int=hash(tuple(sorted(lines.items()))) & (2**128 - 1))) if lines else None
        return web.json_response(
            {"version": version, "items": [{"sku": sku, "quantity": n} for sku, n in lines.items()]}
        )

    async def _put(self, request: web.Request) -> web.Response:
        sku = request.match_info["sku"]
        if sku not in self.products:
            return problem(404, "unknown-sku")
        self.carts[bearer(request)][sku] = (await request.json())["quantity"]
        return await self._cart(request)

    async def _remove(self, request: web.Request) -> web.Response:
        self.carts[bearer(request)].pop(request.match_info["sku"], None)
        return await self._cart(request)

    async def _merge(self, request: web.Request) -> web.Response:
        guest = self.carts.pop((await request.json())["guest_token"], {})
        own = self.carts[bearer(request)]
        own |= {sku: max(n, own.get(sku, 0)) for sku, n in guest.items()}
        return await self._cart(request)

    async def _guest(self, _: web.Request) -> web.Response:
        return web.json_response(self._granted(f"guest-{next(self._guests)}"), status=201)

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form["grant_type"] == "password":
            email = str(form["username"])
            if email not in self.accounts or form["password"] != self.passwords[email]:
                return problem(400, "invalid-grant", error="invalid_grant")
        else:
            _, email, number = str(form["refresh_token"]).split("-")
            if form["refresh_token"] in self.revoked or int(number) not in (count := self._grants[email], count - 1):
                return problem(400, "invalid-grant", error="invalid_grant")
            self._grants[email] = int(number)  # the token before the latest one is a retry, with the same answer
        return web.json_response(self._next(email))

    def _next(self, email: str) -> Mapping[str, Any]:
        self._grants[email] += 1
        count = self._grants[email]
        refresh = f"refresh-{email}-{count}"
        return self._granted(f"account-{email}-{count}", scope=self.scopes.get(email, ""), refresh_token=refresh)

    async def _password(self, request: web.Request) -> web.Response:
        email = bearer(request).split("-")[1]
        body = await request.json()
        if body["current_password"] != self.passwords[email]:
            return problem(403, "wrong-password")
        if len(body["new_password"]) < 8:
            return problem(422, "invalid-request", errors=[{"field": "body.new_password", "message": "too short"}])
        self.passwords[email] = body["new_password"]
        return web.json_response(self._next(email))

    def _granted(self, token: str, **members: Any) -> Mapping[str, Any]:
        return {"access_token": token, "token_type": "Bearer", "expires_in": self.expires_in, "scope": ""} | members

    async def _revoke(self, request: web.Request) -> web.Response:
        self.revoked.append(str((await request.post())["token"]))
        return web.Response()

    async def _register(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.clients.append(request.headers.get("X-Forwarded-For"))
        wrong = {
            "email": "@" not in body["email"],
            "password": len(body["password"]) < 8,
            "name": not body["name"] or "\0" in body["name"],
        }
        if any(wrong.values()):
            fields = [{"field": f"body.{name}", "message": "is wrong"} for name, bad in wrong.items() if bad]
            return problem(422, "invalid-request", errors=fields)
        if body["email"] in self.accounts:
            return problem(409, "email-taken")
        self.accounts[body["email"]], self.passwords[body["email"]] = body["name"], body["password"]
        return web.json_response({"id": "1", "email": body["email"], "name": body["name"]}, status=201)

    async def _me(self, request: web.Request) -> web.Response:
        email = bearer(request).split("-")[1]
        return web.json_response({"id": "1", "email": email, "name": self.accounts[email]})

    async def _place(self, request: web.Request) -> web.Response:
        if self.refusals:
            status, slug, members = self.refusals.pop(0)
            return problem(status, slug, **members)
        key = request.headers["Idempotency-Key"]
        body = await request.json()
        lines = self.carts[bearer(request)]
        id = str(uuid7())
        self.orders.setdefault(
            key,
            {
                "id": id,
                "owner": owner(request),
                "status": "PENDING",
                "total": body["expected_total"],
                "lines": [
                    {"sku": sku, "name": f"Product {sku}", "quantity": n, "unit_price": self.products[sku]["price"]}
                    for sku, n in lines.items()
                ],
                "shipping_address": body["shipping_address"],
                "created_at": "2026-01-01T00:00:00Z",
                "expires_at": "2026-01-01T00:15:00Z",
                "history": [{"seq": 1, "status": "PENDING", "at": "2026-01-01T00:00:00Z"}],
            },
        )
        return web.json_response({"id": self.orders[key]["id"], "status": "PENDING"}, status=202)

    async def _own_orders(self, request: web.Request) -> web.Response:
        own = [order for order in reversed(self.orders.values()) if order["owner"] == owner(request)]
        before, limit = request.query.get("cursor", "~"), int(request.query.get("limit", 20))
        own = [order for order in own if order["id"] < before]
        after = own[limit - 1]["id"] if len(own) > limit else None
        return web.json_response({"items": own[:limit], "next_cursor": after})

    async def _order(self, request: web.Request) -> web.Response:
        for order in self.orders.values():
            if order["id"] == request.match_info["id"] and order["owner"] == owner(request):
                return web.json_response(order)
        return problem(404, "order-not-found")

    async def _cancel(self, request: web.Request) -> web.Response:
        answer = await self._order(request)
        if answer.status != 200:
            return answer
        order = next(order for order in self.orders.values() if order["id"] == request.match_info["id"])
        if order["status"] not in ("PENDING", "RESERVED", "CONFIRMED"):
            return problem(409, "not-cancellable")
        self.step(order, "CANCELLING")
        return web.json_response(order, status=202)

    @staticmethod
    def step(order: dict[str, Any], status: str, reason: str | None = None) -> None:
        """Adds a step to an order."""
        seq = len(order["history"]) + 1
        step = {"seq": seq, "status": status, "at": f"2026-01-01T00:00:0{seq - 1}.250Z"}
        order["history"].append(step | ({"reason": reason} if reason else {}))
        order["status"] = status

    async def _events(self, request: web.Request) -> web.StreamResponse:
        answer = await self._order(request)
        if answer.status != 200:
            return answer
        events = self.events.get(request.match_info["id"], [])[int(request.headers.get("Last-Event-ID", 0)) :]
        if not events:
            return web.Response(status=204)
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        for event in events:
            await stream.write(event)
        if left := self.lasting.get(request.match_info["id"]):
            try:
                while True:
                    await stream.write(b": still here\n\n")
                    await asyncio.sleep(0.01)
            finally:  # aiohttp cancels this when the reader leaves
                left.set()
        return stream


def bearer(request: web.Request) -> str:
    return request.headers["Authorization"].removeprefix("Bearer ")


def owner(request: web.Request) -> str:
    """Returns whose token it is: all tokens of an account open its orders."""
    token = bearer(request)
    return token.rpartition("-")[0] if token.startswith("account-") else token


def problem(status: int, slug: str, retry_after: int | None = None, **members: Any) -> web.Response:
    document = {
        "type": f"https://quayside.example/problems/{slug}",
        "title": slug,
        "status": status,
        "detail": "Do something else.",
    }
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return web.json_response(
        document | members, status=status, headers=headers, content_type="application/problem+json"
    )
