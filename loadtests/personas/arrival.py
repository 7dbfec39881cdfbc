"""How a visitor comes to the shop."""

import os

from personas.pages import Pages
from personas.shop import Api, Shop
from personas.shopper import Shopper

__all__ = ["arrive"]


def arrive(person: Shopper, token: str = "") -> Shop:
    """Begins a visit, of somebody new or of the account with this token.

    With PAGES=1, half of the visits without an account are made with a browser.
    """
    person.leave()
    if not token and os.environ.get("PAGES") == "1" and person.random.random() < 0.5:
        return Pages(person)
    return Api(person, token)
