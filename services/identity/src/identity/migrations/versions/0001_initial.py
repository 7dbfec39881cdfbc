"""Accounts, refresh tokens and signing keys, and the first accounts.

Like every migration it imports no tables and no models, because those change. It imports only the settings of the first
accounts, which no other code uses.
"""

import sqlalchemy as sa
from alembic import op
from pwdlib import PasswordHash

from chassis.ids import uuid7
from identity.settings import FirstAccounts

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE accounts (
    id uuid PRIMARY KEY,
    email text NOT NULL UNIQUE,
    name text NOT NULL,
    password_hash text NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE sign_ins (
    email text PRIMARY KEY,
    failures integer NOT NULL,
    retry_at timestamptz NOT NULL
);

CREATE TABLE refresh_families (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts,
    expires_at timestamptz NOT NULL
);

CREATE TABLE refresh_tokens (
    hash bytea PRIMARY KEY,
    family_id uuid NOT NULL REFERENCES refresh_families ON DELETE CASCADE,
    used boolean NOT NULL DEFAULT false
);
CREATE INDEX ix_refresh_tokens_family_id ON refresh_tokens (family_id);

CREATE TABLE signing_keys (
    kid text PRIMARY KEY,
    jwk json NOT NULL,
    signs_at timestamptz NOT NULL
);
"""

ACCOUNT = sa.text(
    "INSERT INTO accounts (id, email, name, password_hash, scopes)"
    " VALUES (:id, :email, :name, :hash, string_to_array(:scope, ' '))"
).bindparams(sa.bindparam("id", type_=sa.Uuid))


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
    settings = FirstAccounts()
    development = settings.environment == "development"
    password = settings.admin_password.get_secret_value() if settings.admin_password else ""
    if password or development:
        add(settings.admin_email, "Administrator", password or "quayside-admin", "catalog:write orders:manage")
    if development:
        add("shopper@quayside.example", "Shopper", "quayside-shopper", "")


def add(email: str, name: str, password: str, scope: str) -> None:
    hash = PasswordHash.recommended().hash(password)
    op.execute(ACCOUNT.bindparams(id=uuid7(), email=email, name=name, hash=hash, scope=scope))
