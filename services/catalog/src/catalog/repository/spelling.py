"""Corrects the spelling of a query by the words of the products' names.

Each word is compared with those words by its trigrams. Comparing whole names would compare most of a large catalog.
"""

import re

from chassis.db import Connection

__all__ = ["corrected"]

MOST_WORDS = 10
"""A query with more unknown words is not corrected, so that the cost of a search is bounded."""

_WORD = re.compile(r"[^\W\d_]{3,}")
NEAREST = """
SELECT asked, coalesce(
    (SELECT word FROM words WHERE word = asked),
    (SELECT word FROM words WHERE word % asked ORDER BY similarity(word, asked) DESC, word LIMIT 1)
) AS nearest
FROM unnest($1::text[]) AS asked
"""


async def corrected(connection: Connection, folded: str) -> str | None:
    """Returns the query with the nearest word of a name for each word that is in none, or None if nothing changes.

    Words without a near one are left out. Numbers, and words of one or two letters, stay.
    """
    words = set(_WORD.findall(folded))
    if len(words) > MOST_WORDS:
        return None
    nearest = {row["asked"]: row["nearest"] for row in await connection.fetch(NEAREST, list(words))}
    if not any(nearest.values()):
        return None
    query = _WORD.sub(lambda word: nearest[word[0]] or "", folded)
    return None if query == folded else query
