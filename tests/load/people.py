"""More personas, for tests."""

import os
from typing import Any

from locust import task

from personas.browser import Browser
from personas.buyer import check_out, fill
from personas.pages import Pages
from personas.shop import Api
from personas.shopper import Shopper


class Twin(Browser):
    """Has the same number as the other twins."""

    def __init__(self, environment: Any, _: int | None = None) -> None:
        super().__init__(environment, 7)


class Haggler(Shopper):
    """Has CHANGING in the cart when its price changes."""

    @task
    def visit(self) -> None:
        sku = os.environ["CHANGING"]
        shop, office = Api(self), Api(self, os.environ["ADMIN_TOKEN"])
        shop.product(sku)
        shop.put(sku)
        price = {"amount": shop.prices[sku] + 1, "currency": "EUR"}
        office.call("price", "PATCH", f"/api/catalog/products/{sku}", {"price": price}, headers={"If-Match": "*"})
        if (order := check_out(self, shop)).status == 202:
            shop.watch(order)


class Lucky(Shopper):
    """Attempts something that the shop permits."""

    @task
    def visit(self) -> None:
        Api(self).call("hostile", "GET", "/api/cart", forbidden="one's own cart")


class Surfer(Shopper):
    """Buys with a browser."""

    @task
    def visit(self) -> None:
        self.leave()
        shop = Pages(self)
        if fill(self, shop) and (order := check_out(self, shop)).status == 202:
            shop.watch(order)
