"""What the last audit found for each invariant, which order shows as metrics."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE audit_results (
            invariant text PRIMARY KEY,
            findings integer NOT NULL,
            at timestamptz NOT NULL
        )
    """)
