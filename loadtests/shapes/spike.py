"""Suddenly ten times as many visitors."""

from collections.abc import Mapping, Sequence

from schedule import Wave
from shapes.shape import OpenShape

__all__ = ["Spike"]


class Spike(OpenShape):
    """Does the shop survive a sudden crowd? In the middle fifth of TIME, USERS visitors arrive every 10 seconds.

    Before and after, it is a tenth of that.
    """

    users = 100
    mix: Mapping[str, int] = {"browser": 6, "buyer": 3, "abandoner": 1}

    def waves(self, users: int, seconds: float, mix: Mapping[str, int]) -> Sequence[Wave]:
        return (
            Wave(0, seconds, round(seconds * users / 100), mix),
            Wave(seconds * 0.4, seconds * 0.2, round(seconds * 0.2 * users * 9 / 100), mix),
        )
