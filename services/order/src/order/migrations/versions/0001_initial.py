"""Orders and their history; outbox and inbox."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE orders (
            id uuid PRIMARY KEY,
            principal text NOT NULL,
            idempotency_key text NOT NULL,
            request_hash bytea NOT NULL,
            cart_version text NOT NULL,
            status text NOT NULL,
            seq integer NOT NULL,
            total bigint NOT NULL CONSTRAINT orders_total CHECK (total >= 0),
            currency text NOT NULL,
            lines json NOT NULL,
            payment_method text NOT NULL,
            shipping_address json NOT NULL,
            created_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL,
            undo_sent_at timestamptz
        ) WITH (fillfactor = 80)
    """)
    op.execute("COMMENT ON COLUMN orders.seq IS 'the length of its history'")
    op.execute("COMMENT ON COLUMN orders.lines IS '[{sku, name, quantity, unit_price: {amount, currency}}]'")
    op.execute("CREATE UNIQUE INDEX orders_key ON orders (principal, idempotency_key)")
    op.execute("""
        CREATE UNIQUE INDEX orders_cart ON orders (principal, cart_version)
        WHERE status NOT IN ('CANCELLED', 'EXPIRED', 'PAYMENT_FAILED', 'REJECTED')
    """)
    op.execute("CREATE INDEX orders_of ON orders (principal, id)")
    op.execute("CREATE INDEX orders_open ON orders (expires_at) WHERE status IN ('PENDING', 'RESERVED')")
    op.execute("""
        CREATE INDEX orders_undoing ON orders (undo_sent_at)
        WHERE status IN ('CANCELLING', 'EXPIRING', 'REFUNDING')
    """)
    op.execute("""
        CREATE TABLE order_history (
            order_id uuid NOT NULL REFERENCES orders (id),
            seq integer NOT NULL,
            status text NOT NULL,
            reason text,
            at timestamptz NOT NULL,
            PRIMARY KEY (order_id, seq)
        )
    """)
    op.execute("""
        CREATE TABLE outbox (
            id uuid PRIMARY KEY,
            routing_key text NOT NULL,
            subject text NOT NULL,
            data json NOT NULL,
            traceparent text
        )
    """)
    op.execute("""
        CREATE TABLE outbox_archive (
            id uuid PRIMARY KEY,
            routing_key text NOT NULL,
            subject text NOT NULL,
            data json NOT NULL,
            traceparent text,
            published_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute("""
        CREATE TABLE inbox (
            consumer text NOT NULL,
            event_id uuid NOT NULL,
            received_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (consumer, event_id)
        )
    """)
