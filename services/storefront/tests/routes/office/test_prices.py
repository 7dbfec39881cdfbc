"""Prices as people type them."""

import pytest
from babel import Locale

from storefront.routes.languages import LANGUAGES, Language
from storefront.routes.office.prices import bounds, price_of, typed
from storefront.usecases.remote import Money

ENGLISH = LANGUAGES["en"]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        *[
            ("12.50", 1250),
            ("12.5", 1250),
            ("12", 1200),
            ("0.01", 1),
            ("1,234.50", 123450),
            ("9,999,999.99", 10**9 - 1),
        ],
        *[("", None), ("0", None), ("-1", None), ("12.505", None), ("12,5", None), ("1.2.3", None), ("NaN", None)],
        *[("1e5", None), ("€12", None), ("10,000,000.01", None), ("9" * 400, None), ("1\0", None), (".", None)],
    ],
)
@pytest.mark.parametrize("language", LANGUAGES.values())
def test_a_price_is_read_in_major_units(text: str, amount: int | None, language: Language) -> None:
    assert price_of(text, "EUR", language) == (amount and Money(amount, "EUR"))


def test_the_currency_decides_about_the_digits() -> None:
    assert price_of("1250", "JPY", ENGLISH) == Money(1250, "JPY")
    assert price_of("12.5", "JPY", ENGLISH) is None


@pytest.mark.parametrize(
    ("price", "text"),
    [(Money(1250, "EUR"), "12.50"), (Money(123456789, "EUR"), "1234567.89"), (Money(1250, "JPY"), "1250")],
)
def test_a_form_shows_a_price_that_can_be_typed(price: Money, text: str) -> None:
    assert typed(price, ENGLISH.locale) == text
    assert price_of(text, price.currency, ENGLISH) == price


@pytest.mark.parametrize(
    ("currency", "locale", "example", "most"),
    [("EUR", "en", "12.50", "10000000.00"), ("EUR", "de", "12,50", "10000000,00"), ("JPY", "en", "1250", "1000000000")],
)
def test_a_person_is_told_how_to_type_a_price(currency: str, locale: str, example: str, most: str) -> None:
    assert bounds(currency, Locale(locale)) == {"example": example, "most": most}
