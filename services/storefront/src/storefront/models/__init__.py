"""What the shop knows without asking anyone: sessions and pictures. No I/O."""

from storefront.models.sessions import Session, Tokens

__all__ = ["Session", "Tokens"]
