"""What HTTP bodies have in common: unknown fields and text that a database cannot keep are refused."""

from typing import Annotated, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

__all__ = ["Body", "Text", "parsed"]


def _storable(value: str) -> str:
    if any((ord(c) < 32 and c not in "\t\n\r") or 0xD800 <= ord(c) <= 0xDFFF for c in value):
        raise ValueError("must not contain control characters")
    return value.strip()


Text = Annotated[str, AfterValidator(_storable)]
"""A string without NUL, other control characters and lone surrogates, stripped."""


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
