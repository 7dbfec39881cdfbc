"""A session: who uses this browser, as far as the shop knows. No I/O."""

import msgspec

__all__ = ["Session", "Tokens"]

EARLY = 60.0
"""Seconds before its expiry at which an access token is refreshed."""


class Tokens(msgspec.Struct, frozen=True):
    """Tokens of identity. `expires_at` is in seconds since 1970; a guest has no refresh token."""

    access: str
    expires_at: float
    scopes: frozenset[str] = frozenset()
    refresh: str | None = None

    def due(self, now: float) -> bool:
        """Returns whether they should be refreshed, or cannot be used any more."""
        return now > self.expires_at - EARLY


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
