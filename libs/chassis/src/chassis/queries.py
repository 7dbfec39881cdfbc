"""Rules for query and path parameters: each must be known, occur once, and be written in one form.

Without them the last of two values is used, a misspelled name is ignored, and " 5", "5.0" and "5_0" are numbers.
`test_queries.py` shows what is refused.
"""

import re
from typing import Annotated
from uuid import UUID

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ConfigDict

__all__ = ["CanonicalId", "Digits", "Query", "once"]

_CANONICAL = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Query(BaseModel):
    """Base of a route's query parameters: `Annotated[MyQuery, fastapi.Query()]`. Unknown parameters are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def once(request: Request, *lists: str) -> None:
    """Refuses a parameter that occurs twice, except those in `lists`. Raises RequestValidationError (422)."""
    given = [name for name, _ in request.query_params.multi_items() if name not in lists]
    if len(given) != len(set(given)):
        twice = sorted({name for name in given if given.count(name) > 1})
        raise RequestValidationError(
            [{"type": "duplicate", "loc": ("query", name), "msg": "must be given once"} for name in twice]
        )


def _digits(value: object) -> object:
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("must be a whole number, in digits")
    return value


def _canonical(value: object) -> object:
    if isinstance(value, str) and not _CANONICAL.fullmatch(value):
        raise ValueError("must be a UUID, as 0198a4e0-0000-7000-8000-000000000001")
    return value


Digits = Annotated[int, BeforeValidator(_digits)]
CanonicalId = Annotated[UUID, BeforeValidator(_canonical)]
"""A UUID in the form that our responses use, without braces or `urn:`."""
