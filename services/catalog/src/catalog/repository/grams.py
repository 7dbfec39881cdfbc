"""Search inside words of scripts that are written without spaces, or with few: Chinese, Japanese, Korean, Thai, …

PostgreSQL takes such a run of letters for one word, so 茶杯 is not found in 绿茶杯. Beside the words, a text is indexed
by each two letters that follow one another, and by each letter; a query asks for its pairs in their order.
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
"""What precedes a word or a quoted phrase, `-` for one that is excluded; and the word or phrase."""


def indexed(folded: str) -> str:
    """What of a folded text goes through `to_tsvector`."""
    runs: list[str] = _RUN.findall(unicodedata.normalize("NFC", folded))
    pairs = [pair for run in runs for pair in _pairs(run)]
    return " ".join([folded, *pairs, *dict.fromkeys("".join(runs))])


def websearch(folded: str) -> list[str]:
    """The query for `websearch_to_tsquery`, as texts of which one must match: its words, and its pairs.

    With an exclusion the words are left out, for what one text excludes the other would let in.
    """
    text = unicodedata.normalize("NFC", folded)
    if not _RUN.search(text):
        return [folded]
    alone = excludes(text)
    pairs = _TERM.sub(lambda term: term[1] + _in_pairs(term[2], negated="-" in term[1], alone=alone), text)
    return [pairs] if alone else [folded, pairs]


def excludes(folded: str) -> bool:
    """Whether a query, of any script, says what is not to be found."""
    return any("-" in lead for lead, _ in _TERM.findall(folded))


def _in_pairs(term: str, *, negated: bool, alone: bool) -> str:
    """A word or a quoted phrase with its runs as phrases of pairs, where it keeps its meaning so."""
    if _RUN.fullmatch(bare := term.strip('"')):
        return _phrase(bare)
    if negated or term.startswith('"'):  # `-` holds for one phrase only, and quotes do not nest
        return term
    return (_WHOLE_RUN if alone else _RUN).sub(lambda run: _phrase(run[0]), term)


def _phrase(run: str) -> str:
    return f' "{" ".join(_pairs(run) or run)}" '


def _pairs(run: str) -> list[str]:
    """Of a single letter, none."""
    return [run[at : at + 2] for at in range(len(run) - 1)]
