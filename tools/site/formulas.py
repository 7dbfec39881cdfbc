"""Formulas, as MathML: browsers show it without a script."""

import re
from html import unescape

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def drawn(html: str) -> str:
    """Replaces each formula that `pymdownx.arithmatex` found. Raises an error of latex2mathml if one is not valid."""

    def converted(found: re.Match[str]) -> str:
        return convert(unescape(found[2]), display="block" if found[1] == "div" else "inline")

    return FORMULA.sub(converted, html)
