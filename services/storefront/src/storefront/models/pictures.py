"""The picture of a product that has no photograph: a motif in front of a backdrop, in one of 24 palettes.

Motifs and backdrops are symbols of one file, `static/motifs.svg`, which a page shows with
`<use href="…/motifs.svg#mug"/>`. Page selectors do not match inside such a `use`, but custom properties are inherited
into it, so every shape says `fill="var(--a, …)"`, and the class of the palette on the page's `<svg>` sets these
properties. A presentation attribute is parsed like the CSS property, so it may contain `var()`, and a Content Security
Policy of `style-src 'self'` does not restrict it. Chromium 156 draws it right with this policy on both the page and the
file; by the standards, Firefox and Safari must too. Chromium also applies the file's own `<style>` element and `style`
attributes, but these are under the policy's control, so the sprite has none.
"""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple
from zlib import crc32

from storefront.models.motifs import BY_CATEGORY, FALLBACK, LONGEST, PHRASES, words_of

__all__ = ["BACKDROPS", "PALETTES", "Palette", "Picture", "category_picture", "colors", "picture_of", "srgb"]

BACKDROPS = 6


class Palette(NamedTuple):
    """Hues of OKLCH in degrees: of the main tones, and of the accent. `lightness` is the main tone's, in percent."""

    hue: int
    accent: int
    lightness: int = 60


ACCENTS = (95, 200, 85, 215, 200, 20, 225, 25, 70, 60, 90, 45, 80, 40, 75, 50, 90, 60, 80, 35, 90, 85, 190, 75)
PALETTES = tuple(
    Palette(15 * number, accent, 68 if 60 <= 15 * number <= 105 else 60) for number, accent in enumerate(ACCENTS)
)
"""Yellows are lighter than other hues, because a dark yellow is brown. `static/pictures.css` has the same values."""

COLORS: Mapping[str, int] = {
    "red": 15,
    "terracotta": 30,
    "copper": 45,
    "orange": 60,
    "tan": 60,
    "amber": 75,
    "brass": 90,
    "vis": 105,
    "green": 150,
    "peppermint": 165,
    "blue": 240,
    "slate": 240,
    "navy": 255,
    "lavender": 300,
}
"""Hues of palettes by the words for them in a name; "vis" is that of Hi-Vis."""

STEP = 7
"""From a product's palette to that of the next number, 105 degrees on: prime to 24, so that all of them take turns."""

QUALIFIERS = re.compile(r",| (?:for|in|with) ")
"""What ends the noun of a name, as in "Peppermill with Ceramic Grinder"."""


class Picture(NamedTuple):
    """A symbol's ID, an index into PALETTES, and the number of a backdrop."""

    motif: str
    palette: int
    backdrop: int


def picture_of(sku: str, name: str, category: str) -> Picture:
    """Returns the same picture for the same product each time. `category` is a slug.

    The motif comes from the noun of the name, else from the rest of it, else from the category. The palette comes from
    a color in the name, such as navy, else from the SKU: if it ends in a number, the numbers before and after it get
    other palettes. The backdrop comes from the SKU too.
    """
    if numbered := re.fullmatch(r"(.*?)([0-9]{1,9})", sku, re.ASCII | re.DOTALL):
        start, number = crc32(numbered[1].encode()), int(numbered[2])
    else:
        start, number = crc32(sku.encode()), 0
    motif = _motif(QUALIFIERS.split(name)[0]) or _motif(name) or BY_CATEGORY.get(category, FALLBACK)
    named = next((COLORS[word] for word in words_of(name) if word in COLORS), None)
    palette = start + STEP * number if named is None else named // 15
    return Picture(motif, palette % len(PALETTES), (start // 24 + number) % BACKDROPS)


def category_picture(slug: str, position: int) -> Picture:
    """Returns the picture of a category at a position in a list. Neighbors get different palettes."""
    return Picture(BY_CATEGORY.get(slug, FALLBACK), STEP * position % len(PALETTES), position % BACKDROPS)


def _motif(text: str) -> str | None:
    """Returns the motif of the longest group of words; of several, that of the last one, which tends to be the noun."""
    words = words_of(text)
    found = (
        (length, end, PHRASES[words[end - length : end]])
        for end in range(1, len(words) + 1)
        for length in range(1, min(end, LONGEST) + 1)
        if words[end - length : end] in PHRASES
    )
    return max(found, default=(0, 0, None))[2]


def colors(palette: Palette) -> dict[str, str]:
    """Returns the values of the custom properties in the light mode, as sRGB hex colors."""
    hue, accent, lightness = palette
    return {
        "--a": srgb(lightness, 0.115, hue),
        "--b": srgb(lightness - 11, 0.105, hue),
        "--c": srgb(79, 0.12, accent),
        "--d": srgb(29, 0.05, hue),
        "--e": srgb(98, 0.012, hue),
        "--t": srgb(90, 0.04, hue),
        "--g": srgb(95, 0.02, hue),
    }


def srgb(lightness: float, chroma: float, hue: float) -> str:
    """Converts a color from OKLCH (CSS Color 4, 9.4) to sRGB. What sRGB lacks is clipped."""

    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long, middle, short = (
        (lightness / 100 + x * a + y * b) ** 3
        for x, y in ((0.3963377774, 0.2158037573), (-0.1055613458, -0.0638541728), (-0.0894841775, -1.291485548))
    )
    linear = (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.707614701 * short,
    )
    clipped = (min(max(each, 0.0), 1.0) for each in linear)
    return "#" + "".join(
        f"{round(255 * (12.92 * each if each <= 0.0031308 else 1.055 * each ** (1 / 2.4) - 0.055)):02x}"
        for each in clipped
    )
