"""The same number of shoppers all the time."""

from shapes.shape import ClosedShape, Tick

__all__ = ["Steady"]


class Steady(ClosedShape):
    """How fast is the shop on an ordinary day? USERS shoppers visit it for TIME."""

    def during(self, share: float, users: int, seconds: float) -> Tick:
        return users, max(1.0, users / 5), self.classes()
