"""The test cards of each payment provider, the one that pays first."""

from collections.abc import Mapping

__all__ = ["CARDS"]

CARDS: Mapping[str, tuple[str, ...]] = {
    "psp": ("tok_visa", "tok_declined", "tok_insufficient_funds", "tok_slow", "tok_lost_reply"),
    "stripe": (
        "pm_card_visa",
        "pm_card_visa_chargeDeclined",
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        "pm_card_chargeDeclinedExpiredCard",
        "pm_card_authenticationRequired",
    ),
}
"""By `PAYMENT_PROVIDER`. `services/psp/README.md` and docs.stripe.com/testing tell what each does."""
