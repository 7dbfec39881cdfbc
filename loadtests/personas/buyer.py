"""Buys one to three products, and watches the order."""

from typing import Any

from locust import task

from personas.accounts import own_account
from personas.answer import Answer
from personas.arrival import arrive
from personas.shop import Shop
from personas.shopper import Shopper

__all__ = ["Buyer", "check_out", "fill"]

WITH_ACCOUNT = 0.05
"""The share of visits for which a buyer signs in."""


class Buyer(Shopper):
    """Puts products into a cart, orders them, and waits until the order is CONFIRMED."""

    weight = 24

    def __init__(self, environment: Any, number: int | None = None) -> None:
        super().__init__(environment, number)
        self._account = own_account(self)

    @task
    def visit(self) -> None:
        shop = arrive(self, self._account.token() if self.random.random() < WITH_ACCOUNT else "")
        if fill(self, shop) and (order := check_out(self, shop)).status == 202:
            shop.watch(order)


def fill(person: Shopper, shop: Shop) -> bool:
    """Puts one to three products into the cart; returns whether there is something in it."""
    found = shop.home()
    person.think()
    found = shop.category() or found
    filled = False
    for sku in person.pick(found, person.random.randint(1, 3)):
        person.think()
        if shop.product(sku):
            filled |= shop.put(sku, person.random.choice((1, 1, 1, 2))).ok
    return filled


def check_out(person: Shopper, shop: Shop) -> Answer:
    """Orders the cart. If the shop asks for a look at a new total, the person looks, and takes it."""
    person.think()
    answer = shop.order()
    for _ in range(2):
        if answer.slug not in ("price-changed", "cart-changed"):
            break
        person.think()
        answer = shop.order()
    return answer
