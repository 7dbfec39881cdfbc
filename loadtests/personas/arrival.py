"""How a visitor comes to the shop."""

import os

from personas.pages import Pages
from personas.shop import Api, Shop
from personas.shopper import Shopper

__all__ = ["arrive"]


def arrive(person: Shopper) -> Shop:
    """Begins a visit of somebody new. With PAGES=1, half of the visits are made with a browser."""
    person.leave()
    if os.environ.get("PAGES") == "1" and person.random.random() < 0.5:
        return Pages(person)
    return Api(person)
