"""The tables of identity, as the migrations make them."""

import sqlalchemy as sa

__all__ = ["metadata"]

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
    sa.Column("account_id", sa.Uuid, sa.ForeignKey("accounts.id"), nullable=False, index=True),
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
