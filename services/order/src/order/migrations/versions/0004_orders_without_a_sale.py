"""An index for the list of the orders that ended without a sale, by status. Other orders have no entry in it."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Builds the index while the service writes. One that an interrupted run has left is not valid, and is replaced."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS orders_unsold")
        op.execute(
            "CREATE INDEX CONCURRENTLY orders_unsold ON orders (status, id)"
            " WHERE status IN ('CANCELLED', 'EXPIRED', 'PAYMENT_FAILED', 'REFUNDED', 'REJECTED')"
        )
