"""The layout of the live map, in both of its frames."""

import re
from itertools import combinations

import pytest

from storefront.models.mapping import FRAMES, Frame

NUMBERS = re.compile(r"-?[0-9.]+")
BAND = "rabbitmq"
"""The only part that others, the queues, are in."""


@pytest.fixture(params=FRAMES, ids=lambda frame: frame.name)
def frame(request) -> Frame:
    return request.param


def test_everything_is_inside_the_frame(frame: Frame) -> None:
    for box in frame.boxes.values():
        assert 0 <= box.x <= box.x + box.width <= frame.width
        assert 0 <= box.y <= box.y + box.height <= frame.height
    for line in frame.lines:
        numbers = [float(number) for number in NUMBERS.findall(line.path)]
        assert all(0 <= x <= frame.width for x in numbers[::2])
        assert all(0 <= y <= frame.height for y in numbers[1::2])


def test_no_part_covers_another(frame: Frame) -> None:
    boxes = [(name, box) for name, box in frame.boxes.items() if name != BAND]
    for (one, a), (other, b) in combinations(boxes, 2):
        apart = a.x + a.width <= b.x or b.x + b.width <= a.x or a.y + a.height <= b.y or b.y + b.height <= a.y
        assert apart, f"{one} covers {other}"


def test_labels_are_apart(frame: Frame) -> None:
    """A label such as 12.3/s is about 46 units wide in the wide frame, and 30 in the tall one, where it is 12 high."""
    width, height = (46, 18) if frame.name == "wide" else (30, 12)
    for one, other in combinations([line for line in frame.lines if line.kind != "store"], 2):
        (x, y), (other_x, other_y) = one.label, other.label
        assert abs(x - other_x) >= width or abs(y - other_y) >= height, (one, other)


def test_every_line_ends_at_its_target(frame: Frame) -> None:
    for line in frame.lines:
        x, y = (float(number) for number in NUMBERS.findall(line.head)[:2])
        box = frame.boxes[line.target]
        assert box.x - 1 <= x <= box.x + box.width + 1, line
        assert box.y - 1 <= y <= box.y + box.height + 1, line
