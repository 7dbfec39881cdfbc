"""Search inside words of scripts that use few spaces or none: Chinese, Japanese, Korean, Thai, …

PostgreSQL takes a run of such letters for one word, so a search for 茶杯 does not find 绿茶杯. A text is therefore
indexed by its words, by each pair of adjacent letters, and by each letter. A query asks for its pairs in their order.
"""

import re
import unicodedata

__all__ = ["excludes", "indexed", "websearch"]

_RUN = re.compile(
    "["
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u1100-\u11ff\uac00-\ud7a3"  # Hangul
    "\u3005\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31f0-\u31ff"  # kana, bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "]+"
)
_WHOLE_RUN = re.compile(rf"(?<!\w){_RUN.pattern}(?!\w)")
_TERM = re.compile(r'([^\w"]*)("[^"]*"|[^\s"]+)')
"""A word or a quoted phrase, and what precedes it: `-` if it is excluded."""


def indexed(folded: str) -> str:
    """Returns the text to give to `to_tsvector` for a folded text."""
    runs: list[str] = _RUN.findall(unicodedata.normalize("NFC", folded))
    pairs = [pair for run in runs for pair in _pairs(run)]
    return " ".join([folded, *pairs, *dict.fromkeys("".join(runs))])


def websearch(folded: str) -> list[str]:
    """Returns queries for `websearch_to_tsquery`, one of which must match: the words, and the pairs.

    For a query with an exclusion it returns the pairs only. Two alternatives would be wrong there: one could find a
    product that the other excludes.
    """
    text = unicodedata.normalize("NFC", folded)
    if not _RUN.search(text):
        return [folded]
    alone = excludes(text)
    pairs = _TERM.sub(lambda term: term[1] + _in_pairs(term[2], negated="-" in term[1], alone=alone), text)
    return [pairs] if alone else [folded, pairs]


def excludes(folded: str) -> bool:
    """Returns whether a query, in any script, excludes something."""
    return any("-" in lead for lead, _ in _TERM.findall(folded))


def _in_pairs(term: str, *, negated: bool, alone: bool) -> str:
    """Turns the runs of a word or a quoted phrase into phrases of pairs, unless that changes its meaning."""
    if _RUN.fullmatch(bare := term.strip('"')):
        return _phrase(bare)
    if negated or term.startswith('"'):  # `-` applies to one phrase only, and quotes do not nest
        return term
    return (_WHOLE_RUN if alone else _RUN).sub(lambda run: _phrase(run[0]), term)


def _phrase(run: str) -> str:
    return f' "{" ".join(_pairs(run) or run)}" '


def _pairs(run: str) -> list[str]:
    """Returns the pairs of adjacent letters; none for a single letter."""
    return [run[at : at + 2] for at in range(len(run) - 1)]
