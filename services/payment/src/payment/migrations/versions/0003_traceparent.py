"""Each payment records its place in its order's trace, which the requests to the provider continue.

It only adds a column without a default, so the release before this one goes on reading and writing.
"""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("ALTER TABLE payments ADD COLUMN traceparent text")
