"""The tables of payment, as the migrations make them."""

from collections.abc import Iterable

import sqlalchemy as sa

from chassis.db.tables import add_outbox_and_inbox
from payment.models import OPERATIONS, State

__all__ = ["metadata"]


def _listed(states: Iterable[State]) -> str:
    return ", ".join(f"'{state}'" for state in states)


metadata = sa.MetaData()
payments = sa.Table(
    "payments",
    metadata,
    sa.Column("order_id", sa.Uuid, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("amount", sa.BigInteger),
    sa.Column("currency", sa.Text),
    sa.Column("payment_method", sa.Text),
    sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("reason", sa.Text),
    sa.Column("stuck", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("first_attempt_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("next_attempt_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("updated_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("provider", sa.Text, server_default="psp"),  # the default is for the release that knows only this one
    sa.Column("provider_reference", sa.Text),
    sa.Column("traceparent", sa.Text),
    sa.CheckConstraint(f"state IN ({_listed(State)})"),
    sa.CheckConstraint("amount >= 0"),
    # Only a tombstone has no charge, and an undecided payment always has a time of its next attempt.
    sa.CheckConstraint(
        f"state = '{State.CANCELLED}' OR (amount IS NOT NULL AND currency IS NOT NULL AND payment_method IS NOT NULL)"
    ),
    sa.CheckConstraint(f"(next_attempt_at IS NOT NULL) = (state IN ({_listed(OPERATIONS)}))"),
    sa.Index("payments_due", "next_attempt_at", postgresql_where=sa.text("next_attempt_at IS NOT NULL")),
    sa.Index("payments_stuck", "order_id", postgresql_where=sa.text("stuck")),
)
add_outbox_and_inbox(metadata)
