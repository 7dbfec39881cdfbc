"""Rules for what people type into forms. They are the same as those of the services that get it."""

import re
from collections.abc import Collection, Mapping

from pydantic import TypeAdapter, ValidationError

from chassis.schemas import TextLine
from storefront.usecases.remote import Address

__all__ = ["ADDRESS", "CURRENCY", "ID", "SKU", "address", "writable"]

SKU = re.compile(r"[A-Z0-9][A-Z0-9-]{1,31}", re.ASCII)
CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)

ADDRESS = {"name": 100, "line1": 100, "line2": 100, "city": 100, "postal_code": 20}
"""The fields of an address, besides the country, with the most characters of each."""

_NONCHARACTERS = "".join(chr(plane << 16 | each) for plane in range(17) for each in (0xFFFE, 0xFFFF))
_UNWRITABLE = re.compile(f"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef{_NONCHARACTERS}]")
_line = TypeAdapter(TextLine)


def address(typed: Mapping[str, str], countries: Collection[str]) -> tuple[Address | None, dict[str, str]]:
    """Returns the address, or None and what is wrong with each field: `missing`, `long` or `unreadable`."""
    wrong = {name: found for name, limit in ADDRESS.items() if (found := _wrong(name, typed[name], limit))}
    if typed["country"] not in countries:
        wrong["country"] = "missing"
    if wrong:
        return None, wrong
    name, line1, line2, city, postal_code = (_line.validate_python(typed[name]) for name in ADDRESS)
    return Address(name, line1, city, postal_code, typed["country"], line2 or None), {}


def _wrong(name: str, text: str, limit: int) -> str | None:
    if not text:
        return None if name == "line2" else "missing"
    if len(text) > limit:
        return "long"
    try:
        _line.validate_python(text)
    except ValidationError:
        return "unreadable"
    return None


def writable(text: str) -> str:
    """Returns a text without the characters that HTML cannot contain (HTML standard, 13.1.4)."""
    return _UNWRITABLE.sub("", text)
