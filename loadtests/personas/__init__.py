"""The people who visit the shop.

`NAMES` lists their classes. The weight of a class is its usual share of a crowd.
"""

from personas.abandoner import Abandoner
from personas.browser import Browser
from personas.buyer import Buyer
from personas.shopper import Shopper

__all__ = ["NAMES", "Shopper"]

NAMES: dict[str, type[Shopper]] = {"browser": Browser, "buyer": Buyer, "abandoner": Abandoner}
