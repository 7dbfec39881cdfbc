"""The people who visit the shop.

`NAMES` lists their classes. The weight of a class is its usual share of a crowd, in percent.
"""

from personas.abandoner import Abandoner
from personas.bargain_hunter import BargainHunter
from personas.browser import Browser
from personas.buyer import Buyer
from personas.hostile import Hostile
from personas.owner import Owner
from personas.returner import Returner
from personas.shopper import Shopper

__all__ = ["NAMES", "Shopper"]

NAMES: dict[str, type[Shopper]] = {
    "browser": Browser,
    "buyer": Buyer,
    "returner": Returner,
    "abandoner": Abandoner,
    "bargain-hunter": BargainHunter,
    "owner": Owner,
    "hostile": Hostile,
}
