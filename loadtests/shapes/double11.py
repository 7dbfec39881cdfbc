"""A flash sale."""

from collections.abc import Mapping, Sequence
from typing import Any

from personas import NAMES
from schedule import Wave
from shapes.hot import HotProduct
from shapes.shape import OpenShape

__all__ = ["Double11"]

QUIET = {"browser": 6, "buyer": 1}
"""Who comes besides, all the time."""

HUNTER = "bargain-hunter"
OPENS, RUSH, CLOSES = 0.2, 0.2, 0.6
"""When the sale opens, how long the rush lasts, and when the last hunter has come, as shares of TIME."""
IN_RUSH = 0.7
"""The share of hunters who come in the rush."""


class Double11(OpenShape):
    """Does a flash sale go right? USERS shoppers want USERS/10 units of one product, most of them at once.

    First people browse quietly, then load the page of the product again and again. The sale opens after a fifth of
    TIME; seven in ten hunters come within the next fifth, the others until three fifths. The last two fifths are quiet.
    """

    users = 10_000
    seconds = 120.0
    mix = QUIET

    def __init__(self) -> None:
        super().__init__()
        self.sale: dict[str, Any] = {}
        self._product: HotProduct | None = None

    def begin(self, users: int, seconds: float) -> None:
        self.sale, self._product = {}, None
        try:
            self._product = HotProduct(self.runner.environment.host or NAMES[HUNTER].host or "", max(1, users // 10))
        except OSError as error:
            self.failure = f"the product of the sale cannot be created: {error}"
            return
        self.sale = {
            "sku": self._product.sku,
            "stock": self._product.stock,
            "shoppers": users,
            "closes": CLOSES * seconds,
        }
        super().begin(users, seconds)

    def waves(self, users: int, seconds: float, mix: Mapping[str, int]) -> Sequence[Wave]:
        hunter = {HUNTER: 1}
        rush = round(users * IN_RUSH)
        quiet = max(round(seconds * users / 1_000), round(seconds / 2))
        return (
            Wave(0, seconds, quiet, {name: weight for name, weight in mix.items() if name != HUNTER} or QUIET),
            Wave(OPENS / 2 * seconds, OPENS / 2 * seconds, max(1, users // 20), {"onlooker": 1}),
            Wave(OPENS * seconds, RUSH * seconds, rush, hunter),
            Wave((OPENS + RUSH) * seconds, (CLOSES - OPENS - RUSH) * seconds, users - rush, hunter),
        )

    def details(self) -> dict[str, Any]:
        return {"environment": {"HOT_SKU": self.sale["sku"]}}

    def end(self) -> None:
        if not self._product:
            return
        try:
            self.sale |= self._product.level()
        except OSError as error:
            self.failure = f"the stock of the hot product cannot be read: {error}"
