"""JSON whose meaning depends on its reader: a member that comes twice is refused before any route sees it.

Every parser takes one of the two in silence, and which one differs: what a log or a gateway saw is not what was done.
`test_bodies.py` shows what is refused.
"""

import json
from collections import Counter
from typing import Any

from chassis.errors import Malformed

__all__ = ["refuse_duplicates"]


def refuse_duplicates(body: bytes) -> None:
    """Raises Malformed (`duplicate-member`, `malformed-json`). What is no JSON passes: its route says so.

    Most bodies have no two strings alike, member or value, and that is seen in a microsecond.
    """
    if b"\\" not in body and b"\0" not in body:  # else two spellings, or two bytes a character, hide what is alike
        strings = body.split(b'"')[1::2]
        if len(strings) == len(set(strings)):
            return
    try:
        json.loads(body, object_pairs_hook=_unique)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return
    except (ValueError, RecursionError) as error:
        raise Malformed(
            "malformed-json", "The body cannot be read", "Nest it less, and write shorter numbers."
        ) from error


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) != len({name for name, _ in pairs}):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        printable = name.encode("ascii", "backslashreplace").decode()[:100]
        raise Malformed("duplicate-member", "A member comes twice in the body", f"Give {printable} once.")
