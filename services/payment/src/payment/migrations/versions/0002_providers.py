"""Each payment records its provider, and the provider's own ID of the charge.

It only adds columns, so the release before this one goes on reading and writing. That release knows only the sandbox,
hence the default. It also asks the sandbox about every payment, so set PAYMENT_PROVIDER to another provider only after
all its processes are replaced. Before a rollback, set it back to psp, and wait until no payment of another provider is
open.
"""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE payments ADD COLUMN provider text DEFAULT 'psp', ADD COLUMN provider_reference text")
