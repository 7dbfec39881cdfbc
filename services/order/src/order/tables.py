"""The tables of order, as the migrations make them."""

import sqlalchemy as sa

from chassis.db.tables import add_outbox_and_inbox
from order.models import FAILED, OPEN, UNDOING, Status

__all__ = ["metadata"]

metadata = sa.MetaData()
_timestamp = sa.TIMESTAMP(timezone=True)

orders = sa.Table(
    "orders",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("idempotency_key", sa.Text, nullable=False),
    sa.Column("request_hash", sa.LargeBinary, nullable=False),
    sa.Column("cart_version", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("seq", sa.Integer, nullable=False, comment="the length of its history"),
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("lines", sa.JSON, nullable=False, comment="[{sku, name, quantity, unit_price: {amount, currency}}]"),
    sa.Column("payment_method", sa.Text, nullable=False),
    sa.Column("shipping_address", sa.JSON, nullable=False),
    sa.Column("created_at", _timestamp, nullable=False),
    sa.Column("expires_at", _timestamp, nullable=False),
    sa.Column("undo_sent_at", _timestamp),
    sa.Column("traceparent", sa.Text),
    sa.CheckConstraint("total >= 0", name="orders_total"),
)
sa.Index("orders_key", orders.c.principal, orders.c.idempotency_key, unique=True)
sa.Index(
    "orders_cart",
    orders.c.principal,
    orders.c.cart_version,
    unique=True,
    postgresql_where=orders.c.status.not_in(sorted(FAILED)),
)
sa.Index("orders_of", orders.c.principal, orders.c.id)
sa.Index("orders_open", orders.c.expires_at, postgresql_where=orders.c.status.in_(sorted(OPEN)))
sa.Index(
    "orders_unsold",
    orders.c.status,
    orders.c.id,
    postgresql_where=orders.c.status.in_(sorted(FAILED | {Status.REFUNDED})),
)
sa.Index("orders_undoing", orders.c.undo_sent_at, postgresql_where=orders.c.status.in_(sorted(UNDOING)))

order_history = sa.Table(
    "order_history",
    metadata,
    sa.Column("order_id", sa.Uuid, sa.ForeignKey("orders.id"), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("at", _timestamp, nullable=False),
)
audit_results = sa.Table(
    "audit_results",
    metadata,
    sa.Column("invariant", sa.Text, primary_key=True),
    sa.Column("findings", sa.Integer, nullable=False),
    sa.Column("at", _timestamp, nullable=False),
)
add_outbox_and_inbox(metadata)
