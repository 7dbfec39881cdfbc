"""What HTTP bodies have in common: unknown fields and text that a database cannot keep are refused."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

__all__ = ["Body", "Text"]


def _storable(value: str) -> str:
    if any((ord(c) < 32 and c not in "\t\n\r") or 0xD800 <= ord(c) <= 0xDFFF for c in value):
        raise ValueError("must not contain control characters")
    return value.strip()


Text = Annotated[str, AfterValidator(_storable)]
"""A string without NUL, other control characters and lone surrogates, stripped."""


class Body(BaseModel):
    """A request's body. Numbers are numbers and strings strings: nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
