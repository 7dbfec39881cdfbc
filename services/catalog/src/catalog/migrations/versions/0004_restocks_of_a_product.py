"""An index for the history of a product's stock."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Builds the index while the service writes. One that an interrupted run has left is not valid, and is replaced."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS restocks_of")
        op.execute("CREATE INDEX CONCURRENTLY restocks_of ON restocks (sku, created_at)")
