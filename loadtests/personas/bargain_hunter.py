"""Wants one hot product, as everybody does in a flash sale."""

import os
from typing import Any

from locust import task

from personas.answer import Answer
from personas.arrival import arrive
from personas.buyer import check_out
from personas.shop import OPEN, Shop
from personas.shopper import Shopper

__all__ = ["BargainHunter"]

INSISTS = 4
"""How often somebody tries to get the product."""


class BargainHunter(Shopper):
    """Tries to buy the product HOT_SKU, some times if necessary, and leaves when it is sold out."""

    weight = 2

    @task
    def visit(self) -> Any:
        """Returns how it ended: "confirmed", "sold out", "turned away" or "no answer"."""
        shop = arrive(self)
        sku = os.environ.get("HOT_SKU") or next(iter(shop.home()), "")
        end = "no answer"
        for _ in range(INSISTS if sku else 0):
            end = self._try(shop, sku)
            if end in ("confirmed", "sold out"):
                break
            self.think()
        return end

    def _try(self, shop: Shop, sku: str) -> str:
        available = shop.product(sku)
        if available == 0:
            return "sold out"
        if available is None:
            return "no answer"
        put = shop.put(sku)
        if not put.ok:
            return _turned_away(put)
        order = check_out(self, shop)
        if order.slug == "sold-out":
            return "sold out"
        if order.status != 202:
            return _turned_away(order)
        status = shop.watch(order)
        return "confirmed" if status == "CONFIRMED" else "no answer" if status in OPEN else "turned away"


def _turned_away(answer: Answer) -> str:
    """What became of somebody who was not served: only a clear refusal is an answer."""
    return "turned away" if answer.ok or answer.refused else "no answer"
