"""Where the live map draws each part of the shop, and the lines between them. No I/O.

The layout is made once, in a plane with the services side by side: `a` runs along them, `b` runs from the clients at
the top to the stores at the bottom. All lines run along these axes, so a frame may turn the plane and stretch each axis
as its screen needs it.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

from storefront.models.live import CONSUMERS, SERVICES, STORES

__all__ = ["FRAMES", "Box", "Frame", "Line"]

Point = tuple[float, float]

FIRST, PITCH, HALF = 102, 238, 86
AT = {name: FIRST + PITCH * place for place, name in enumerate(SERVICES)}
"""The middle of each service along `a`."""

EDGE, TOP, BOTTOM, QUEUES, STORED = 116, 250, 374, 508, 668
"""Along `b`: the edge's lower side, the services' upper and lower sides, the upper sides of queues and stores."""

AREAS: Mapping[str, tuple[float, float, float, float]] = {
    "edge": (16, 40, 1378, EDGE),
    "rabbitmq": (66, 486, 1156, 600),
    "provider": (1206, 496, 1330, 588),
    "valkey": (16, STORED, 426, 752),
    "postgres": (492, STORED, 1378, 752),
    **{name: (at - HALF, TOP, at + HALF, BOTTOM) for name, at in AT.items()},
    **{f"queue:{name}": (AT[name] - 84, QUEUES, AT[name] + 58, 578) for name in CONSUMERS},
}
"""The corners of each part: (a, b, a, b)."""


class Route(NamedTuple):
    """A line before it is drawn."""

    source: str
    target: str
    kind: Literal["request", "message", "store"]
    label: Point
    points: Sequence[Point]


def _routes() -> Iterator[Route]:
    yield Route("clients", "edge", "request", (AT["storefront"] + 68, 20), [(FIRST - 40, 2), (FIRST - 40, 40)])
    for name, at in AT.items():
        yield Route("edge", name, "request", (at - 40, 147), [(at - 40, EDGE), (at - 40, TOP)])
        if name != "storefront":
            up, down = FIRST + 40, at + 40
            yield Route("storefront", name, "request", (down, 200), [(up, TOP), (up, 178), (down, 178), (down, TOP)])
    yield from _calls(*(AT[name] for name in CONSUMERS))
    for name in ("cart", "catalog", "payment"):
        out, into = AT["order"] + 30, AT[name] - 4
        yield _message("order", name, out, into, 402)
    yield _message("catalog", "order", AT["catalog"] + 30, AT["order"] - 6, 436)
    yield _message("payment", "order", AT["payment"] + 30, AT["order"] + 42, 436)
    for name in CONSUMERS:
        at = AT[name] - 60
        yield Route(f"queue:{name}", name, "message", (at, 462), [(at, QUEUES), (at, BOTTOM)])
    for store, users in STORES.items():
        for name in users:
            at = AT[name] + {"storefront": -60, "identity": 62}.get(name, 72)
            yield Route(name, store, "store", (at, 634), [(at, BOTTOM), (at, STORED)])


def _calls(cart: float, catalog: float, order: float, payment: float) -> Iterator[Route]:
    side, level = HALF, 300
    yield Route("cart", "catalog", "request", (cart + 119, 284), [(cart + side, level), (catalog - side, level)])
    yield Route("order", "catalog", "request", (order - 119, 284), [(order - side, level), (catalog + side, level)])
    back = [(order - 66, TOP), (order - 66, 222), (cart + 66, 222), (cart + 66, TOP)]
    yield Route("order", "cart", "request", (catalog, 222), back)
    round_ = [(payment + side, 330), (payment + 119, 330), (payment + 119, 542), (1206, 542)]
    yield Route("payment", "provider", "request", (payment + 119, 420), round_)


def _message(source: str, consumer: str, out: float, into: float, level: float) -> Route:
    points = [(out, BOTTOM), (out, level), (into, level), (into, QUEUES)]
    return Route(source, f"queue:{consumer}", "message", (into, 462), points)


class Box(NamedTuple):
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Line:
    """An arrow from `source` to `target`; `path` and `head` are SVG paths. `mark` is the place of a step's number."""

    source: str
    target: str
    kind: str
    path: str
    head: str
    label: Point
    mark: Point


@dataclass(frozen=True, slots=True)
class Frame:
    """One way to draw the map."""

    name: Literal["wide", "tall"]
    width: int
    height: int
    boxes: Mapping[str, Box]
    lines: Sequence[Line]


Scale = Sequence[Point]
"""Pairs of a place in the plane and its place on the screen, in order; between them it is linear."""


def _frame(name: Literal["wide", "tall"], width: int, height: int, along: Scale, down: Scale) -> Frame:
    """Draws the plane; a tall frame is turned, so that `b` runs to the right."""

    def place(point: Point) -> Point:
        a, b = _scaled(along, point[0]), _scaled(down, point[1])
        return (b, a) if name == "tall" else (a, b)

    def box(area: tuple[float, float, float, float]) -> Box:
        (x, y), (right, bottom) = place(area[:2]), place(area[2:])
        return Box(x, y, round(right - x, 1), round(bottom - y, 1))

    def line(route: Route) -> Line:
        points = [place(point) for point in route.points]
        (x, y), (to_x, to_y) = max(
            pairwise(points), key=lambda ends: abs(ends[0][0] - ends[1][0] + ends[0][1] - ends[1][1])
        )
        middle = (round((x + to_x) / 2, 1), round((y + to_y) / 2, 1))
        return Line(
            route.source,
            route.target,
            route.kind,
            _path(points),
            _head(points[-2], points[-1]),
            place(route.label),
            middle,
        )

    areas = {part: box(area) for part, area in AREAS.items()}
    return Frame(name, width, height, areas, [line(route) for route in _routes()])


def _scaled(scale: Scale, value: float) -> float:
    at = min(max(bisect_right(scale, (value, float("inf"))), 1), len(scale) - 1)
    (low, start), (high, end) = scale[at - 1], scale[at]
    return round(start + (value - low) * (end - start) / (high - low), 1)


def _path(points: Sequence[Point], radius: float = 12) -> str:
    """Returns a path along the points, with round corners."""
    parts = ["M{:g} {:g}".format(*points[0])]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        start, end = (_toward(corner, other, radius) for other in (before, after))
        parts.append("L{:g} {:g}Q{:g} {:g} {:g} {:g}".format(*start, *corner, *end))
    return "".join([*parts, "L{:g} {:g}".format(*_toward(points[-1], points[-2], 8))])


def _head(before: Point, tip: Point, size: float = 6) -> str:
    x, y = _toward(tip, before, 2 * size)
    across = (0, size) if x != tip[0] else (size, 0)
    return f"M{tip[0]:g} {tip[1]:g}L{x + across[0]:g} {y + across[1]:g}L{x - across[0]:g} {y - across[1]:g}Z"


def _toward(start: Point, end: Point, distance: float) -> Point:
    """Returns the point at a distance from the start, at most half of the way."""
    (x, y), (to_x, to_y) = start, end
    length = abs(to_x - x) + abs(to_y - y)  # along one axis
    share = min(distance, length / 2) / length
    return round(x + (to_x - x) * share, 1), round(y + (to_y - y) * share, 1)


FRAMES = (
    _frame("wide", 1400, 768, along=[(0, 0), (1400, 1400)], down=[(0, 0), (768, 768)]),
    _frame(
        "tall",
        400,
        900,
        along=[(0, 0), (1400, 900)],
        down=[
            (0, 0),
            (40, 14),
            (EDGE, 44),
            (178, 88),
            (TOP, 130),
            (BOTTOM, 236),
            (QUEUES, 300),
            (578, 350),
            (STORED, 372),
            (752, 398),
        ],
    ),
)
