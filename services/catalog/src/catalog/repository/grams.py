"""Search inside words of scripts that are written without spaces, or with few: Chinese, Japanese, Korean, Thai, …

PostgreSQL takes such a run of letters for one word, so 茶杯 is not found in 绿茶杯. Beside the words, a text is indexed
by each two letters that follow one another, and by each letter; a query asks for its pairs in their order.
"""

import re
import unicodedata

__all__ = ["indexed", "websearch"]

_RUN = re.compile(
    "["
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u1100-\u11ff\uac00-\ud7a3"  # Hangul
    "\u3005\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31f0-\u31ff"  # kana, bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "]+"
)


def indexed(folded: str) -> str:
    """What of a folded text goes through `to_tsvector`."""
    runs: list[str] = _RUN.findall(unicodedata.normalize("NFC", folded))
    pairs = [pair for run in runs for pair in _pairs(run)]
    return " ".join([folded, *pairs, *dict.fromkeys("".join(runs))])


def websearch(folded: str) -> str | None:
    """The folded query with pairs, for `websearch_to_tsquery`; None when it has no letters of these scripts."""
    query, runs = _RUN.subn(
        lambda run: f' "{" ".join(_pairs(run[0]) or run[0])}" ', unicodedata.normalize("NFC", folded)
    )
    return query if runs else None


def _pairs(run: str) -> list[str]:
    """Of a single letter, none."""
    return [run[at : at + 2] for at in range(len(run) - 1)]
