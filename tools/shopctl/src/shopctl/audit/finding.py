"""What one check of the audit says."""

from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Finding"]


@dataclass
class Finding:
    """`counts` is what was looked at; `wrong` names what breaks the invariant, by how it does."""

    invariant: str
    title: str
    counts: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, list[str]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.wrong

    def blame(self, how: str, whom: Iterable[object]) -> None:
        """Add what is wrong; nobody to blame adds nothing."""
        if names := [str(each) for each in whom]:
            self.wrong.setdefault(how, []).extend(names)
