"""Tables and values of identity; pure, no I/O."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

__all__ = ["Account", "SigningKey", "email_of", "metadata", "retired", "signer"]

metadata = sa.MetaData()
_Time = sa.TIMESTAMP(timezone=True)

sa.Table(
    "accounts",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("email", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("password_hash", sa.Text, nullable=False),
    sa.Column("scopes", sa.ARRAY(sa.Text), nullable=False),
    sa.Column("created_at", _Time, nullable=False, server_default=sa.func.now()),
)
sa.Table(
    "sign_ins",
    metadata,
    sa.Column("email", sa.Text, primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("retry_at", _Time, nullable=False),
)
sa.Table(
    "refresh_families",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("account_id", sa.Uuid, sa.ForeignKey("accounts.id"), nullable=False),
    sa.Column("expires_at", _Time, nullable=False),
    sa.Column("retry_of", sa.LargeBinary),
    sa.Column("retry_seed", sa.LargeBinary),
    sa.Column("retry_until", _Time),
)
sa.Table(
    "refresh_tokens",
    metadata,
    sa.Column("hash", sa.LargeBinary, primary_key=True),
    sa.Column(
        "family_id", sa.Uuid, sa.ForeignKey("refresh_families.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    sa.Column("used", sa.Boolean, nullable=False, server_default=sa.false()),
)
sa.Table(
    "signing_keys",
    metadata,
    sa.Column("kid", sa.Text, primary_key=True),
    sa.Column("jwk", sa.JSON, nullable=False),
    sa.Column("signs_at", _Time, nullable=False),
)

EMAIL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9-]+(\.[a-z0-9-]+)+")


@dataclass(frozen=True, slots=True)
class Account:
    id: UUID
    email: str
    name: str
    password_hash: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`jwk` is the private key as JSON (RFC 7517); it signs from `signs_at` until its successor does."""

    kid: str
    jwk: str
    signs_at: datetime


def email_of(text: str) -> str | None:
    """The address as we keep it, in lower case; None if that is no address."""
    email = text.strip().lower()
    return email if len(email) <= 254 and EMAIL.fullmatch(email) else None


def signer(keys: Sequence[SigningKey], now: datetime) -> SigningKey:
    """The key that signs: the youngest whose time has come. `keys` is ordered by `signs_at`, and not empty."""
    return next((key for key in reversed(keys) if key.signs_at <= now), keys[0])


def retired(keys: Sequence[SigningKey], now: datetime, longest_token: timedelta) -> list[SigningKey]:
    """Keys that no valid token can be signed with: their successor has signed for longer than a token lives."""
    pairs = itertools.pairwise(keys)
    return [key for key, successor in pairs if successor.signs_at + longest_token <= now]
