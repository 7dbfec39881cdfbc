"""Each order records its trace, so that a step without an event, such as its expiry, continues it.

It only adds a column without a default, so the release before this one goes on reading and writing.
"""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE orders ADD COLUMN traceparent text")
