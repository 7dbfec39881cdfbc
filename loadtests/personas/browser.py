"""Looks around: the newest products, a category, a search, some products."""

from locust import task

from personas.shopper import Shopper

__all__ = ["Browser"]

WORDS = ("soap", "espresso", "lamp", "blanket", "kettle", "notebook", "espreso")


class Browser(Shopper):
    """Reads pages of the catalog, searches, and leaves."""

    weight = 6

    @task
    def visit(self) -> None:
        found = self.products(limit=20)
        self.think()
        found = self.products(q=self.random.choice(WORDS), limit=20) or found
        for _ in range(self.random.randint(1, 3)):
            self.think()
            if found:
                self.call("product", "GET", f"/api/catalog/products/{self.random.choice(found)['sku']}")
