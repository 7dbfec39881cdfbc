"""Comes back with an account."""

from typing import Any

from locust import task

from personas.accounts import own_account
from personas.buyer import check_out, fill
from personas.shop import Api
from personas.shopper import Shopper

__all__ = ["Returner"]

REGRETS = 0.2
"""The share of orders that are cancelled at once."""
RETURNS = 0.3
"""The share of visits to the history, and of confirmed orders, that end with a return."""


class Returner(Shopper):
    """Signs in, looks at earlier orders, orders again, and cancels or returns some orders."""

    weight = 6

    def __init__(self, environment: Any, number: int | None = None) -> None:
        super().__init__(environment, number)
        self._account = own_account(self)

    @task
    def visit(self) -> None:
        self.leave()
        shop = Api(self)
        shop.home()
        self.think()
        shop.token = self._account.token()
        if not shop.token:
            return
        self._look_back(shop)
        self.think()
        if not fill(self, shop) or (order := check_out(self, shop)).status != 202:
            return
        if self.random.random() < REGRETS:
            cancel(shop, order.data["id"])
        elif shop.watch(order) == "CONFIRMED" and self.random.random() < RETURNS:
            self.think()
            cancel(shop, order.data["id"])

    def _look_back(self, shop: Api) -> None:
        """Looks at the history and at one of its orders, and returns that order sometimes."""
        answer = shop.call("history", "GET", "/api/orders?limit=10")
        if not answer.ok or not answer.data["items"]:
            return
        self.think()
        (order,) = self.pick(answer.data["items"])
        shop.call("history", "GET", f"/api/orders/{order['id']}")
        if order["status"] == "CONFIRMED" and self.random.random() < RETURNS:
            self.think()
            cancel(shop, order["id"])


def cancel(shop: Api, id: str) -> None:
    """Cancels an order, and waits until it is undone. The shop refuses this if the order is undone already."""
    if shop.call("cancel", "POST", f"/api/orders/{id}/cancel").ok:
        shop.settled(id)
