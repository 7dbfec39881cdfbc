"""Looks around, and buys nothing."""

from locust import task

from personas.arrival import arrive
from personas.shopper import Shopper

__all__ = ["Browser"]

WORDS = ("soap", "espresso", "lamp", "blanket", "kettle", "notebook", "espreso")


class Browser(Shopper):
    """Looks at the home page, a category, a search and some products, and leaves."""

    weight = 58

    @task
    def visit(self) -> None:
        shop = arrive(self)
        found = shop.home()
        self.think()
        found = shop.category() or found
        if self.random.random() < 0.5:
            self.think()
            found = shop.search(self.random.choice(WORDS)) or found
        for _ in range(self.random.randint(1, 4)):
            self.think()
            for sku in self.pick(found):
                shop.product(sku)
