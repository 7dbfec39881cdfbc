"""Refresh tokens: an index, by which a change of the password ends the sign-ins of an account."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("CREATE INDEX ix_refresh_families_account_id ON refresh_families (account_id)")
