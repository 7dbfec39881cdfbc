"""Refresh tokens: the columns by which a family's latest exchange can be answered again."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute(
        "ALTER TABLE refresh_families"
        " ADD COLUMN retry_of bytea, ADD COLUMN retry_seed bytea, ADD COLUMN retry_until timestamptz"
    )
