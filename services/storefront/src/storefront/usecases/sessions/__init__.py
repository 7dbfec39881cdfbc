"""Sessions: begin as a guest's, become an account's at login, and keep their tokens fresh."""

from storefront.usecases.sessions.accounts import cart_token, change_password, register, sign_in, sign_out
from storefront.usecases.sessions.visit import SessionEnded, Visit

__all__ = ["SessionEnded", "Visit", "cart_token", "change_password", "register", "sign_in", "sign_out"]
