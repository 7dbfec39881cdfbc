"""Fills a cart, and leaves."""

from locust import task

from personas.arrival import arrive
from personas.buyer import fill
from personas.shopper import Shopper

__all__ = ["Abandoner"]


class Abandoner(Shopper):
    """Puts products into a cart, looks at it, and leaves without an order."""

    weight = 8

    @task
    def visit(self) -> None:
        shop = arrive(self)
        if fill(self, shop):
            self.think()
            shop.look_at_cart()
