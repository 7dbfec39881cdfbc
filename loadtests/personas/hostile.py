"""Attacks the shop. Each attempt must be refused."""

import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any
from uuid import uuid4

import msgspec
from locust import task

from personas.buyer import fill
from personas.shop import Api
from personas.shopper import Shopper

__all__ = ["Hostile"]

QUANTITIES = (0, -1, 100, 10**9, 1.5, "1", None)


class Hostile(Shopper):
    """Tampers with prices and tokens, replays keys, and reaches for the orders of others and for the back office.

    Its only order is paid with a card that is declined, so it changes nothing. An attempt that succeeds is a failure
    with the name `hostile: …`, and one that gets another refusal than the right one is a failure too.
    """

    weight = 1

    @task
    def visit(self) -> None:
        self.leave()
        shop = Api(self)
        if not fill(self, shop):
            return
        for attack in (self._totals, self._keys, self._tokens, self._quantities, self._back_office):
            self.think()
            attack(shop)

    def _totals(self, shop: Api) -> None:
        right = shop.body()["expected_total"]
        for amount in (1, right["amount"] - 1, 0, -right["amount"]):
            self._order(shop, "a total of one's own", expected_total={**right, "amount": amount})
        self._order(shop, "another currency", expected_total={**right, "currency": "JPY"})
        self._order(shop, "a cart of one's own", cart_version=str(uuid4()))

    def _keys(self, shop: Api) -> None:
        """Places an order whose payment fails, sends its key with other bodies, and reaches for it as a stranger.

        Its owner may not refund it either, as only the back office does.
        """
        key, body = str(uuid4()), shop.body("tok_declined")
        placed = shop.post(key, body)
        if placed.status != 202:
            return
        for change in ({"payment_method": "tok_visa"}, {"shipping_address": {**body["shipping_address"], "city": "X"}}):
            shop.post(key, {**body, **change}, "hostile", forbidden="a key with another body", expected=(422,))
        stranger, path = Api(self), f"/api/orders/{placed.data['id']}"
        for method, what in (("GET", ""), ("GET", "/events"), ("POST", "/cancel")):
            self._try(stranger, "an order of somebody else", 404, method, path + what)
        self._try(shop, "a refund as a guest", 403, "POST", f"/api/admin/orders/{placed.data['id']}/refund")
        shop.settled(placed.data["id"])

    def _tokens(self, shop: Api) -> None:
        for name, token in forged(shop.token).items():
            for method, path in (("GET", "/api/cart"), ("GET", "/api/admin/orders")):
                self._try(Api(self, token), name, 401, method, path)

    def _quantities(self, shop: Api) -> None:
        sku = next(iter(shop.home()), None)
        for quantity in QUANTITIES if sku else ():
            path = f"/api/cart/items/{sku}"
            self._try(shop, f"a quantity of {quantity!r}", 422, "PUT", path, {"quantity": quantity})

    def _back_office(self, shop: Api) -> None:
        product = f"/api/catalog/products/{next(iter(shop.home()), 'NONE')}"
        price = {"price": {"amount": 1, "currency": "EUR"}}
        self._try(shop, "a price as a guest", 403, "PATCH", product, price, headers={"If-Match": "*"})
        self._try(shop, "a restock as a guest", 403, "PUT", f"{product}/restocks/{uuid4()}", {"quantity": 1000})

    def _order(self, shop: Api, name: str, **changes: Any) -> None:
        shop.post(str(uuid4()), shop.body(**changes), "hostile", forbidden=name, expected=(409, 422))

    def _try(self, shop: Api, name: str, refusal: int, method: str, path: str, body: Any = None, **more: Any) -> None:
        shop.call("hostile", method, path, body, forbidden=name, expected=(refusal,), **more)


def forged(token: str) -> dict[str, str]:
    """Returns tokens that were made from a guest's, by what is wrong with each."""
    header, claims, signature = token.split(".")
    manager = {**_decoded(claims), "scope": "catalog:write orders:manage", "kind": "account"}
    return {
        "an unsigned token": f"{_encoded({**_decoded(header), 'alg': 'none'})}.{_encoded(manager)}.",
        "a token with other claims": f"{header}.{_encoded(manager)}.{signature}",
        "an expired token": f"{header}.{_encoded({**_decoded(claims), 'exp': int(time.time()) - 3600})}.{signature}",
        "a token that is cut": token[:-8],
    }


def _decoded(part: str) -> dict[str, Any]:
    return dict(msgspec.json.decode(urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def _encoded(part: dict[str, Any]) -> str:
    return urlsafe_b64encode(msgspec.json.encode(part)).decode().rstrip("=")
