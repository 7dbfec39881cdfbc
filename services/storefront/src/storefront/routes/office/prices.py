"""Prices as people type them: in major units, in the way of their language."""

from decimal import Decimal

from babel import Locale
from babel.numbers import format_decimal

from storefront.routes.languages import Language, fraction_digits
from storefront.usecases.remote import Money

__all__ = ["price_of", "typed"]


def typed(price: Money, locale: Locale) -> str:
    """Returns a price as a person would type it: `12.50`."""
    digits = fraction_digits(price.currency)
    pattern = "0." + "0" * digits if digits else "0"
    return str(format_decimal(Decimal(price.amount).scaleb(-digits), pattern, locale=locale))


def price_of(text: str, currency: str, language: Language) -> Money | None:
    """Returns a typed price; None if it is none, or 0."""
    amount = language.amount(text, currency)
    return Money(amount, currency) if amount else None
