"""Waits for the sale to open."""

import os

from personas import Shopper

__all__ = ["Onlooker"]


class Onlooker(Shopper):
    """Loads the page of the hot product again and again during the countdown."""

    abstract = True  # only a crowd starts it

    def visit(self) -> None:
        for _ in range(self.random.randint(2, 5)):
            self.call("product", "GET", f"/api/catalog/products/{os.environ['HOT_SKU']}")
            self.think()
