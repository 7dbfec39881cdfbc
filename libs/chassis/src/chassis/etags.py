"""Conditional requests (RFC 9110, 13.1): the entity tags of If-Match and If-None-Match.

A plain text comparison would accept an empty tag, treat a weak tag as strong, and miss further tags or header lines.
`test_etags.py` shows each case.
"""

import re
from collections.abc import Sequence

from chassis.errors import Malformed

__all__ = ["not_modified", "strong"]

# `*+` does not backtrack: a long run of spaces is read once.
_MEMBER = re.compile(r'[ \t]*+(?:(W/)?("[\x21\x23-\x7e\x80-\xff]*+")[ \t]*+)?(?:,|$)')


def strong(lines: Sequence[str]) -> list[str] | None:
    """Returns the tags in the lines of an If-Match, without their quotes; None for `*`.

    Weak tags are left out, since If-Match never matches them. Raises Malformed (`malformed-if-match`).
    """
    if (tags := _tags(lines)) is None:
        raise Malformed(
            "malformed-if-match",
            "If-Match holds no entity tags",
            'Send * or the ETag as it was read, in quotes; several are a list: "a", "b".',
        )
    return None if tags == ["*"] else [tag[1:-1] for tag in tags if tag.startswith('"')]


def not_modified(lines: Sequence[str], etag: str) -> bool:
    """Returns whether the lines of an If-None-Match contain this ETag, strong or weak; if malformed, they do not."""
    tags = _tags(lines) or []
    return tags == ["*"] or etag in (tag.removeprefix("W/") for tag in tags)


def _tags(lines: Sequence[str]) -> list[str] | None:
    """Returns `["*"]`, or the tags as written; None if the lines are malformed."""
    value = ",".join(lines)
    if value.strip(" \t") == "*":
        return ["*"]
    tags, at = [], 0
    while at < len(value):
        if (found := _MEMBER.match(value, at)) is None:
            return None
        if found[2]:  # a list may have empty members (RFC 9110, 5.6.1)
            tags.append((found[1] or "") + found[2])
        at = found.end()
    return tags or None
