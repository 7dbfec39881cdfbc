"""Buys one to three products, and watches the order."""

from locust import task

from personas.shopper import Shopper

__all__ = ["Buyer"]


class Buyer(Shopper):
    """Puts products into a cart, orders them, and waits until the order is confirmed."""

    weight = 3

    @task
    def visit(self) -> None:
        self.enter()
        found = self.products(limit=60, in_stock="true")
        if not self.token or not found:
            return
        chosen = self.random.sample(found, min(len(found), self.random.randint(1, 3)))
        version, total = "", 0
        for product in chosen:
            self.think()
            answer = self.put(product["sku"])
            if answer.ok:
                version = answer.data["version"]
                total = sum(_prices(found, item["sku"]) * item["quantity"] for item in answer.data["items"])
        if not version:
            return
        self.think()
        answer = self.order(version, total)
        if answer.slug == "price-changed":  # the owner has changed a price: a person looks, and takes the new one
            self.think()
            answer = self.order(version, answer.data["quote"]["amount"])
        if answer.status == 202:
            self.watch(answer)


def _prices(found: list[dict], sku: str) -> int:
    return next((product["price"]["amount"] for product in found if product["sku"] == sku), 0)
