"""An index for the history of a product's stock."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("CREATE INDEX restocks_of ON restocks (sku, created_at)")
