"""Refresh tokens: an index, by which a change of the password ends the sign-ins of an account."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Builds the index while the service writes. One that an interrupted run has left is not valid, and is replaced."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_refresh_families_account_id")
        op.execute("CREATE INDEX CONCURRENTLY ix_refresh_families_account_id ON refresh_families (account_id)")
