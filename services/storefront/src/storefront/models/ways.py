"""The way of an order over the live map: which lines each of its steps took. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storefront.models.live import consumers_of
from storefront.models.mapping import Frame, Point
from storefront.models.progress import MADE

__all__ = ["Way", "way_of"]

Ends = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Way:
    """`lines` are those that the order took, each with the number of the step that took it first.

    `came` has for each step the line that brought it; None for one that no message brought, such as the first.
    """

    lines: Mapping[Ends, int]
    came: Sequence[Ends | None]

    def marks(self, frame: Frame) -> list[tuple[int, Point]]:
        """Returns where the numbers of the steps stand: on the line that brought the step, or else at order."""
        lines = {(line.source, line.target): line.mark for line in frame.lines}
        box = frame.boxes["order"]
        return [
            (number, lines[ends] if ends else (box.x, box.y + 26 * number - 20))
            for number, ends in enumerate(self.came, 1)
        ]


def way_of(statuses: Sequence[str]) -> Way:
    """Returns the way of an order with these steps, as far as this release knows them."""
    lines: dict[Ends, int] = {}
    came: list[Ends | None] = []
    for number, status in enumerate(statuses, 1):
        made = MADE.get(status)
        service = made.service if made and made.message else None
        came.append((service, "queue:order") if service else None)
        if service:
            brought: list[Ends] = [(service, "queue:order"), ("queue:order", "order")]
            brought += [("payment", "provider")] if service == "payment" else []
            lines |= {ends: number for ends in brought if ends not in lines}
        for message in made.sent if made else ():
            for consumer in consumers_of(message, "order"):
                queue = f"queue:{consumer}"
                lines |= {ends: number for ends in (("order", queue), (queue, consumer)) if ends not in lines}
    return Way(lines, came)
