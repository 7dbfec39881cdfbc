"""The test cards of the sandbox provider. `services/psp/README.md` tells what each does."""

__all__ = ["CARDS"]

CARDS = ("tok_visa", "tok_declined", "tok_insufficient_funds", "tok_slow", "tok_lost_reply")
