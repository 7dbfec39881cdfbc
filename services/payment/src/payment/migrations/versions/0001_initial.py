"""Payments, outbox and inbox."""

from alembic import op

revision = "0001"
down_revision = None

DDL = """
CREATE TABLE payments (
    order_id uuid PRIMARY KEY,
    state text NOT NULL CHECK (
        state IN ('REQUESTED', 'UNKNOWN', 'CAPTURED', 'FAILED', 'CANCELLED', 'REFUNDING', 'REFUNDED')
    ),
    amount bigint CHECK (amount >= 0),
    currency text,
    payment_method text,
    cancel_requested boolean NOT NULL DEFAULT false,
    reason text,
    stuck boolean NOT NULL DEFAULT false,
    attempts integer NOT NULL DEFAULT 0,
    first_attempt_at timestamptz,
    next_attempt_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- Only a tombstone was never charged; and what is not decided yet is always due at some time.
    CHECK (state = 'CANCELLED' OR (amount IS NOT NULL AND currency IS NOT NULL AND payment_method IS NOT NULL)),
    CHECK ((next_attempt_at IS NOT NULL) = (state IN ('REQUESTED', 'UNKNOWN', 'REFUNDING')))
) WITH (fillfactor = 70);
CREATE INDEX payments_due ON payments (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX payments_stuck ON payments (order_id) WHERE stuck;

CREATE TABLE outbox (
    id uuid PRIMARY KEY,
    routing_key text NOT NULL,
    subject text NOT NULL,
    data json NOT NULL,
    traceparent text
);
CREATE TABLE outbox_archive (
    id uuid PRIMARY KEY,
    routing_key text NOT NULL,
    subject text NOT NULL,
    data json NOT NULL,
    traceparent text,
    published_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE inbox (
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);
"""


def upgrade() -> None:
    for statement in DDL.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    for table in ("inbox", "outbox_archive", "outbox", "payments"):
        op.drop_table(table)
