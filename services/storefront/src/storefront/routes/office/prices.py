"""Prices as people type them: in major units, in the way of their language."""

from decimal import Decimal

from babel import Locale
from babel.numbers import format_decimal

from storefront.routes.languages import MAX_AMOUNT, Language, fraction_digits
from storefront.usecases.remote import Money

__all__ = ["bounds", "price_of", "typed"]

EXAMPLE = 1250


def typed(price: Money, locale: Locale) -> str:
    """Returns a price as a person would type it: `12.50`."""
    digits = fraction_digits(price.currency)
    pattern = "0." + "0" * digits if digits else "0"
    return str(format_decimal(Decimal(price.amount).scaleb(-digits), pattern, locale=locale))


def bounds(currency: str, locale: Locale) -> dict[str, str]:
    """Returns an `example` of a price, and the highest one (`most`), as a person would type them."""
    return {"example": typed(Money(EXAMPLE, currency), locale), "most": typed(Money(int(MAX_AMOUNT), currency), locale)}


def price_of(text: str, currency: str, language: Language) -> Money | None:
    """Returns a typed price; None if it is none, or 0."""
    amount = language.amount(text, currency)
    return Money(amount, currency) if amount else None
