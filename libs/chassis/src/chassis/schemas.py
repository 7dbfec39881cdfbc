"""What HTTP bodies have in common: no unknown fields, and no text that a database cannot keep or nobody can see."""

import unicodedata
from typing import Annotated, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

__all__ = ["Body", "Text", "TextLine", "parsed"]


OPENS = dict.fromkeys("\u202a\u202b\u202d\u202e", "\u202c") | dict.fromkeys("\u2066\u2067\u2068", "\u2069")
"""What sets the direction of the text after it (Unicode TR 9), and what ends that."""

BLANK = frozenset("\u115f\u1160\u2065\u2800\u3164\uffa0") | {chr(c) for c in range(0xE0000, 0xE1000)}
"""Nothing to see, whatever their categories say: fillers of Hangul, Braille without a dot, code points to come."""


def _readable(value: str) -> str:
    if value.isascii() and value.isprintable():
        return value.strip()
    if any((unicodedata.category(c) == "Cc" and c not in "\t\n\r") or "\ud800" <= c <= "\udfff" for c in value):
        raise ValueError("must not contain control characters")
    if not _balanced(value):
        raise ValueError("must end each change of direction that it begins")
    value = value.strip()
    if value and not any(_visible(c) for c in value):
        raise ValueError("must contain something that can be seen")
    return value


def _visible(c: str) -> bool:
    """Not a space, a format character, or a mark, which needs something to stand on."""
    return c not in BLANK and unicodedata.category(c) not in ("Zs", "Zl", "Zp", "Cc", "Cf", "Mn", "Mc", "Me")


def _balanced(value: str) -> bool:
    """An override that is left open turns around whatever a page shows after the text."""
    awaited: list[str] = []
    for c in value:
        if c in OPENS:
            awaited.append(OPENS[c])
        elif c in ("\u202c", "\u2069") and (not awaited or awaited.pop() != c):
            return False
    return not awaited


Text = Annotated[str, AfterValidator(_readable)]
"""A string without control characters, lone surrogates and open changes of direction, stripped; empty, or visible.

Every script, emoji with their joiners, and marks of direction are text.
"""


def _one_line(value: str) -> str:
    if any(c in "\t\n\r\u2028\u2029" for c in value):
        raise ValueError("must be one line")
    return value


TextLine = Annotated[Text, AfterValidator(_one_line)]
"""Text without tabs and line breaks: names, and the lines of an address."""


class Body(BaseModel):
    """A request's body. Numbers are numbers and strings strings: nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


B = TypeVar("B", bound=Body)


def parsed(model: type[B], raw: bytes) -> B:
    """A body on a hot path, from bytes to a model in one step. Raises RequestValidationError (422)."""
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in found]) from None
