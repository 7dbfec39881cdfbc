"""What the shop knows without asking anyone: sessions, test cards, pictures and how orders progress. No I/O."""

from storefront.models.sessions import Session, Tokens

__all__ = ["Session", "Tokens"]
