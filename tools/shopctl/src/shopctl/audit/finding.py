"""The result of one check of the audit."""

from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Finding"]


@dataclass
class Finding:
    """`counts` holds the numbers of examined objects; `wrong` lists those that violate the invariant, by problem."""

    invariant: str
    title: str
    counts: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, list[str]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.wrong

    @property
    def number(self) -> int:
        """The number of objects that violate the invariant."""
        return sum(map(len, self.wrong.values()))

    def blame(self, how: str, objects: Iterable[object]) -> None:
        """Add objects with a problem; without objects, add nothing."""
        if names := [str(each) for each in objects]:
            self.wrong.setdefault(how, []).extend(names)
