"""How many shoppers come when. `SHAPES` lists the shapes by name; each says which question it answers."""

from shapes.double11 import Double11
from shapes.ramp import Ramp
from shapes.shape import Shape
from shapes.soak import Soak
from shapes.spike import Spike
from shapes.steady import Steady

__all__ = ["SHAPES", "Shape"]

SHAPES: dict[str, type[Shape]] = {
    "steady": Steady,
    "ramp": Ramp,
    "spike": Spike,
    "soak": Soak,
    "double11": Double11,
}
