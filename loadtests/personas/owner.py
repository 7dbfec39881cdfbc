"""Works in the back office while people shop."""

import os
from typing import Any
from uuid import uuid4

from locust import task

from personas.accounts import administrator
from personas.answer import Answer
from personas.shop import Api
from personas.shopper import Shopper

__all__ = ["Owner"]

LITTLE = 30
"""A product of which fewer are available is restocked."""
LOWERED = 0.9
"""What a price is multiplied with for a sale, and for a moment only."""


class Owner(Shopper):
    """Restocks what runs out, and lowers a price for a moment. Needs ADMIN_EMAIL and ADMIN_PASSWORD.

    There is only one at a time: two would take each other's lowered prices for the right ones.
    """

    fixed_count = 1
    weight = 1

    def __init__(self, environment: Any, number: int | None = None) -> None:
        super().__init__(environment, number)
        self._account = administrator(self)

    @task
    def visit(self) -> None:
        self.leave()
        token = self._account.token()
        if not token:
            return
        office = Api(self, token)
        self._restock(office)
        for sku in self.pick(office.home()):
            self._sell_off(office, sku)

    def _restock(self, office: Api) -> None:
        """Restocks up to three products, but not HOT_SKU or one that is sold out: a sale is meant to end."""
        hot = os.environ.get("HOT_SKU")
        answer = office.call("office", "GET", f"/api/admin/products?sort=available&below={LITTLE}&limit=100")
        found = answer.data["items"] if answer.ok else []
        short = [each["sku"] for each in found if each["available"] and each["sku"] != hot]
        for sku in self.pick(short, 3):
            self.think()
            path = f"/api/catalog/products/{sku}/restocks/{uuid4()}"
            office.call("restock", "PUT", path, {"quantity": self.random.randint(LITTLE, 2 * LITTLE)})

    def _sell_off(self, office: Api, sku: str) -> None:
        """Lowers the price of a product, and soon sets it to what it was, even if the visit is ended meanwhile."""
        path = f"/api/catalog/products/{sku}"
        found = office.call("product", "GET", path)
        if not found.ok:
            return
        before = found.data["price"]
        lowered = {**before, "amount": max(1, int(before["amount"] * LOWERED))}
        try:
            if self._patch(office, path, lowered, found).ok:
                self.think()
        finally:
            self._restore(office, path, lowered, before)

    def _restore(self, office: Api, path: str, lowered: dict[str, Any], before: dict[str, Any]) -> None:
        """Sets a price that is still lowered. If somebody else was faster (412), looks again, and tries once more."""
        for _ in range(2):
            found = office.call("product", "GET", path)
            if found.ok and (found.data["price"] != lowered or self._patch(office, path, before, found).ok):
                return

    def _patch(self, office: Api, path: str, price: dict[str, Any], found: Answer) -> Answer:
        headers = {"If-Match": found.etag}
        return office.call("price", "PATCH", path, {"price": price}, headers=headers, expected=(412,))
