"""More and more shoppers."""

from math import ceil

from shapes.shape import ClosedShape, Tick

__all__ = ["Ramp"]

STEPS = 10


class Ramp(ClosedShape):
    """How many shoppers can the shop serve? Their number grows to USERS, in ten equal steps."""

    users = 200
    seconds = 120.0

    def during(self, share: float, users: int, seconds: float) -> Tick:
        return ceil(users * (int(share * STEPS) + 1) / STEPS), max(1.0, users / 10), self.classes()
