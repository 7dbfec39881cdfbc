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
    """`name` is the account's, None for a guest. `guest` has the tokens from before the login.

    They open the guest's orders, and the guest goes on with them after a logout. `unmerged` tells that the guest's cart
    has not been moved into the account's yet.
    """

    tokens: Tokens
    name: str | None = None
    guest: Tokens | None = None
    unmerged: bool = False

    @property
    def signed_in(self) -> bool:
        return self.name is not None

    def may(self, scope: str) -> bool:
        return scope in self.tokens.scopes

    def live_guest(self, now: float) -> Tokens | None:
        """Returns the tokens of this browser's guest, who may also be logged in; None if they have expired."""
        guest = self.guest if self.signed_in else self.tokens
        return guest if guest is not None and not guest.expired(now) else None
