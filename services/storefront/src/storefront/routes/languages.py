"""The languages of the interface: which one a request gets, its texts, and its way to write money, numbers and dates.

A message's English text is its ID. `locales/<locale>/LC_MESSAGES/messages.po` has the other languages;
`test_translations.py` fails for a missing one.
"""

import io
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

from babel import Locale
from babel.dates import format_datetime, format_timedelta
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import (
    NumberFormatError,
    format_currency,
    format_decimal,
    get_currency_precision,
    get_currency_symbol,
    parse_decimal,
)
from babel.support import NullTranslations, Translations

from storefront.usecases.remote import Money

__all__ = ["COOKIE", "LANGUAGES", "MAX_AMOUNT", "Language", "fraction_digits", "language_of"]

COOKIE = "language"
MAX_AMOUNT = Decimal(10**9)
"""The highest price that catalog accepts, in minor units."""

LOCALES = Path(__file__).parents[1] / "locales"


def N_(text: str) -> str:  # noqa: N802
    """Marks a text for translation where it is not yet needed in a language."""
    return text


CATEGORIES = frozenset(
    {
        N_("Bath & Body"),
        N_("Coffee & Tea"),
        N_("Desk & Paper"),
        N_("Garden"),
        N_("Home Audio"),
        N_("Kitchen"),
        N_("Knitwear"),
        N_("Lighting"),
        N_("Outdoor"),
        N_("Tools"),
        N_("Toys & Games"),
        N_("Travel Bags"),
    }
)
"""The categories of the demo catalog."""


@dataclass(frozen=True, eq=False)
class Language:
    """`code` is for HTML's `lang` (BCP 47), `name` is how its speakers call it."""

    code: str
    name: str
    locale: Locale
    texts: NullTranslations

    def money(self, money: Money) -> str:
        return _money(money.amount, money.currency, self.locale)

    def number(self, number: int) -> str:
        return str(format_decimal(number, locale=self.locale))

    def amount(self, typed: str, currency: str) -> int | None:
        """Returns a price that a person typed, such as 12.50, in minor units; None if it cannot be read as one."""
        digits = fraction_digits(currency)
        if any(char.isalpha() for char in typed):  # 1e3, NaN
            return None
        try:
            exact = parse_decimal(typed, self.locale, strict=True)
        except NumberFormatError:
            return None
        if not 0 <= exact <= MAX_AMOUNT.scaleb(-digits) or exact != round(exact, digits):
            return None
        return int(exact.scaleb(digits))

    def symbol(self, currency: str) -> str:
        return str(get_currency_symbol(currency, self.locale))

    def category(self, slug: str, name: str = "") -> str:
        """Returns the name of a category: translated if the demo catalog has it, else as given, else from its slug."""
        given = name or " ".join("&" if word == "and" else word.capitalize() for word in slug.split("-"))
        return self.texts.gettext(given) if given in CATEGORIES else given

    def moment(self, at: datetime) -> str:
        """Returns a time in UTC, and says so: the browser's zone is not known here (shop.js shows it)."""
        return f"{format_datetime(at, 'medium', locale=self.locale)} UTC"

    def span(self, seconds: int) -> str:
        """Returns a duration in words, such as "2 minutes"."""
        return str(format_timedelta(timedelta(seconds=seconds), threshold=1.5, locale=self.locale))

    def countries(self) -> list[tuple[str, str]]:
        """Returns (ISO 3166-1 alpha-2 code, name) of all countries, sorted by name."""
        return _countries(self.locale)


@lru_cache(4096)
def _money(amount: int, currency: str, locale: Locale) -> str:
    digits = fraction_digits(currency)
    return str(format_currency(amount / 10**digits, currency, locale=locale))


@lru_cache
def fraction_digits(currency: str) -> int:
    """Returns how many digits an amount of this currency has after the point (ISO 4217)."""
    return get_currency_precision(currency)


NO_COUNTRY = frozenset({"EU", "EZ", "UN", "XA", "XB", "XK", "ZZ", "QO", "AC", "CP", "CQ", "DG", "EA", "IC", "TA"})
"""Codes of the CLDR that ISO 3166-1 has not assigned to a country."""


@lru_cache
def _countries(locale: Locale) -> list[tuple[str, str]]:
    names = [(code, name) for code, name in locale.territories.items() if len(code) == 2 and code.isalpha()]
    return sorted((each for each in names if each[0] not in NO_COUNTRY), key=lambda each: _sorting(each[1]))


def _sorting(name: str) -> bytes:
    """Returns a key that ignores accents; in GB 18030, all but rare Chinese characters are in the order of pinyin."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    return plain.casefold().encode("gb18030")


def _load(locale: Locale) -> NullTranslations:
    file = LOCALES / str(locale) / "LC_MESSAGES" / "messages.po"
    compiled = io.BytesIO()
    with file.open("rb") as source:
        write_mo(compiled, read_po(source, locale=locale))
    compiled.seek(0)
    return Translations(compiled)


def _languages() -> Mapping[str, Language]:
    english, chinese = Locale("en", "US"), Locale("zh", script="Hans")
    return {
        "en": Language("en", "English", english, NullTranslations()),
        "zh-Hans": Language("zh-Hans", "简体中文", chinese, _load(chinese)),
    }


LANGUAGES = _languages()
DEFAULT = LANGUAGES["en"]


def language_of(chosen: str | None, accepted: str) -> Language:
    """Returns the chosen language, else the first that the browser accepts (RFC 9110, 12.5.4), else English."""
    if chosen is not None and chosen in LANGUAGES:
        return LANGUAGES[chosen]
    weighed = []
    for position, part in enumerate(accepted[:500].split(",")):
        tag, _, weight = part.strip().partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        weighed.append((-quality, position, tag.strip().lower()))
    for negative, _, tag in sorted(weighed):
        found = next((each for each in LANGUAGES.values() if tag.partition("-")[0] == each.locale.language), None)
        if found and negative < 0:
            return found
    return DEFAULT
