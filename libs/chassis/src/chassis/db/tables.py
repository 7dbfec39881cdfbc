"""The tables of the outbox and the inbox, as SQLAlchemy describes them. Only a service's `tables.py` needs them."""

import sqlalchemy as sa

__all__ = ["add_outbox_and_inbox"]


def add_outbox_and_inbox(metadata: sa.MetaData) -> None:
    """Adds `outbox`, its append-only `outbox_archive`, and `inbox` to a service's tables."""

    def columns() -> list[sa.Column[object]]:
        return [
            sa.Column("id", sa.Uuid, primary_key=True),
            sa.Column("routing_key", sa.Text, nullable=False),
            sa.Column("subject", sa.Text, nullable=False),
            sa.Column("data", sa.JSON, nullable=False),
            sa.Column("traceparent", sa.Text),
        ]

    sa.Table("outbox", metadata, *columns())
    sa.Table(
        "outbox_archive",
        metadata,
        *columns(),
        sa.Column("published_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    sa.Table(
        "inbox",
        metadata,
        sa.Column("consumer", sa.Text, primary_key=True),
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("received_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
    )
