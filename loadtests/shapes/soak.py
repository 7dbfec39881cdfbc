"""A long time with few shoppers."""

from shapes.steady import Steady

__all__ = ["Soak"]


class Soak(Steady):
    """Does anything grow or wear out? A few shoppers visit the shop for a long time, 10 minutes without TIME."""

    seconds = 600.0
