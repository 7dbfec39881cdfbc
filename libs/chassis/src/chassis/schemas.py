"""Rules for HTTP bodies: no unknown fields, and no text that is invisible or that a database cannot store.

`test_schemas.py` shows what is refused.
"""

import unicodedata
from typing import Annotated, Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

__all__ = ["Body", "Text", "TextLine", "located", "parsed"]


OPENS = dict.fromkeys("\u202a\u202b\u202d\u202e", "\u202c") | dict.fromkeys("\u2066\u2067\u2068", "\u2069")
"""Characters that set the direction of the text after them (Unicode TR 9), and the character that ends each."""

BLANK = frozenset("\u115f\u1160\u2065\u2800\u3164\uffa0") | {chr(c) for c in range(0xE0000, 0xE1000)}
"""Characters that are invisible despite their category: Hangul fillers, blank Braille, unassigned code points."""


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
    """Returns whether a character is visible by itself: no space, format character or combining mark."""
    return c not in BLANK and unicodedata.category(c) not in ("Zs", "Zl", "Zp", "Cc", "Cf", "Mn", "Mc", "Me")


def _balanced(value: str) -> bool:
    """Returns whether each change of direction is ended. An open one would reverse what a page shows after the text."""
    awaited: list[str] = []
    for c in value:
        if c in OPENS:
            awaited.append(OPENS[c])
        elif c in ("\u202c", "\u2069") and (not awaited or awaited.pop() != c):
            return False
    return not awaited


Text = Annotated[str, AfterValidator(_readable)]
"""A stripped string without control characters, lone surrogates and open changes of direction; empty or visible.

Every script, emoji with joiners, and direction marks are allowed.
"""


def _one_line(value: str) -> str:
    if any(c in "\t\n\r\u2028\u2029" for c in value):
        raise ValueError("must be one line")
    return value


TextLine = Annotated[Text, AfterValidator(_one_line)]
"""Text without tabs and line breaks: names, and the lines of an address."""


class Body(BaseModel):
    """Base of request bodies. Types are strict: no string is converted to a number, and no number to a string."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


B = TypeVar("B", bound=Body)


def parsed(model: type[B], raw: bytes) -> B:
    """Parses a body from bytes to a model in one step, for hot paths. Raises RequestValidationError (422)."""
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise RequestValidationError(located(error, "body")) from None


def located(error: ValidationError, part: str) -> list[dict[str, Any]]:
    """Returns what is wrong, for a RequestValidationError, in this part of the request."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [{**each, "loc": (part, *each["loc"])} for each in found]
