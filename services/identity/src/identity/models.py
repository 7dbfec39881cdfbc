"""The values of identity: addresses, passwords, signing keys. Pure, no I/O."""

import itertools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

__all__ = [
    "MAX_PASSWORD",
    "Account",
    "SigningKey",
    "address_of",
    "email_of",
    "password_of",
    "retired",
    "signer",
    "spellings",
]

MAX_PASSWORD = 128
MAX_EMAIL = 254
ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
EMAIL = re.compile(
    rf"""
    (?=[^@]{{1,64}}@) {ATOM} (?:\. {ATOM})*     # RFC 5321: dots only between other characters
    @ (?:{LABEL} \.)+ (?![0-9]+$) {LABEL}       # RFC 1123, 2.1: no hyphen at either end; the last is no number
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Account:
    id: UUID
    email: str
    name: str
    password_hash: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`jwk` is the private key as JSON (RFC 7517). It signs from `signs_at` until its successor does."""

    kid: str
    jwk: str
    signs_at: datetime


def address_of(text: str) -> str:
    """Returns the stored form of an address, without checking that it is one."""
    return text.strip().lower()


def email_of(text: str) -> str | None:
    """Returns the stored form of an address, in lower case; None if it is not an address."""
    email = address_of(text)
    return email if text.isascii() and len(email) <= MAX_EMAIL and EMAIL.fullmatch(email) else None


def password_of(text: str) -> str | None:
    """Returns the normal form of a password; None if it is empty, too long, or has control characters.

    This is the part of OpaqueString (RFC 8265, 4.2) that does not depend on Python's version of Unicode: all spaces are
    U+0020, NFC, no control characters. A character decomposes into at most four, so the text is first limited to
    four times the longest password, because NFC of a much longer text would take seconds.
    """
    if len(text) > 4 * MAX_PASSWORD or any(unicodedata.category(c) in ("Cc", "Cs") for c in text):
        return None
    password = unicodedata.normalize("NFC", "".join(" " if unicodedata.category(c) == "Zs" else c for c in text))
    return password if 0 < len(password) <= MAX_PASSWORD else None


def spellings(text: str) -> list[str]:
    """Returns the texts that may have been hashed for a password: its normal form or, by an earlier release, itself."""
    typed = text if 0 < len(text) <= MAX_PASSWORD and not re.search("[\ud800-\udfff]", text) else None
    return list(dict.fromkeys(password for password in (password_of(text), typed) if password))


def signer(keys: Sequence[SigningKey], now: datetime) -> SigningKey:
    """Returns the newest key whose time to sign has come. `keys` is ordered by `signs_at`, and not empty."""
    return next((key for key in reversed(keys) if key.signs_at <= now), keys[0])


def retired(keys: Sequence[SigningKey], now: datetime, longest_token: timedelta) -> list[SigningKey]:
    """Returns the keys without valid tokens: their successor has signed for longer than a token is valid."""
    pairs = itertools.pairwise(keys)
    return [key for key, successor in pairs if successor.signs_at + longest_token <= now]
