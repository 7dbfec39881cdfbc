"""A session: who uses this browser, as far as the shop knows. No I/O."""

import msgspec

__all__ = ["Session", "Tokens"]

MARGIN = 10.0
"""Seconds before its expiry at which an access token is not used any more: a call takes time, and clocks differ."""


class Tokens(msgspec.Struct, frozen=True):
    """Tokens of identity. Times are in seconds since 1970; a guest has no refresh token."""

    access: str
    issued_at: float
    expires_at: float
    scopes: frozenset[str] = frozenset()
    refresh: str | None = None

    def due(self, now: float) -> bool:
        """Returns whether they should be renewed: identity may then be down for a third of their life."""
        return self.expired(now) or now > self.issued_at + (self.expires_at - self.issued_at) * 2 / 3

    def expired(self, now: float) -> bool:
        return now > self.expires_at - MARGIN


class Session(msgspec.Struct, frozen=True):
    """`name` is the account's, None for a guest. `guest` is the token from before the login, which opens its orders."""

    tokens: Tokens
    name: str | None = None
    guest: str | None = None

    @property
    def signed_in(self) -> bool:
        return self.name is not None

    def may(self, scope: str) -> bool:
        return scope in self.tokens.scopes
