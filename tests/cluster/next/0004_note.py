"""The migration of the next release: adds a column that this release neither reads nor writes."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("ALTER TABLE orders ADD COLUMN note text")
