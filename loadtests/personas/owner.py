"""Works in the back office while people shop."""

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
    """Restocks what runs out, and lowers a price for a moment. Needs ADMIN_EMAIL and ADMIN_PASSWORD."""

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
        """Restocks up to three products, but none that is sold out: a sale may have been meant to end."""
        answer = office.call("office", "GET", f"/api/admin/products?sort=available&below={LITTLE}&limit=100")
        short = [each["sku"] for each in answer.data["items"] if each["available"]] if answer.ok else []
        for sku in self.pick(short, 3):
            self.think()
            path = f"/api/catalog/products/{sku}/restocks/{uuid4()}"
            office.call("restock", "PUT", path, {"quantity": self.random.randint(LITTLE, 2 * LITTLE)})

    def _sell_off(self, office: Api, sku: str) -> None:
        """Lowers the price of a product, and soon sets it to what it was."""
        before = self._price(office, sku, None)
        if before:
            self.think()
            self._price(office, sku, before)

    def _price(self, office: Api, sku: str, amount: int | None) -> int | None:
        """Sets a price, or lowers it. If somebody else was faster (412), looks again, and tries once more."""
        path = f"/api/catalog/products/{sku}"
        for _ in range(2):
            found = office.call("product", "GET", path)
            if not found.ok:
                return None
            before = int(found.data["price"]["amount"])
            price = {"amount": amount or max(1, int(before * LOWERED)), "currency": found.data["price"]["currency"]}
            if self._patch(office, path, price, found).ok:
                return before
        return None

    def _patch(self, office: Api, path: str, price: dict[str, Any], found: Answer) -> Answer:
        headers = {"If-Match": found.etag}
        return office.call("price", "PATCH", path, {"price": price}, headers=headers, expected=(412,))
