"""Products, search, stock, reservations, outbox and inbox."""

from alembic import op

revision = "0001"
down_revision = None

DDL = """
CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE TABLE categories (
    slug text PRIMARY KEY,
    name text NOT NULL
);

CREATE TABLE products (
    sku text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    description text NOT NULL,
    category text NOT NULL REFERENCES categories,
    amount bigint NOT NULL CHECK (amount >= 0),
    currency text NOT NULL,
    image_url text,
    hidden boolean NOT NULL DEFAULT false,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    folded_name text COLLATE "C" NOT NULL,
    search tsvector NOT NULL,
    document text NOT NULL
);
CREATE INDEX products_by_folded_name ON products (folded_name, sku) WHERE NOT hidden;
CREATE INDEX products_by_amount ON products (amount, sku) WHERE NOT hidden;
CREATE INDEX products_by_created_at ON products (created_at, sku) WHERE NOT hidden;
CREATE INDEX products_by_category_folded_name ON products (category, folded_name, sku) WHERE NOT hidden;
CREATE INDEX products_by_category_amount ON products (category, amount, sku) WHERE NOT hidden;
CREATE INDEX products_by_category_created_at ON products (category, created_at, sku) WHERE NOT hidden;
CREATE INDEX products_search ON products USING gin (search);
CREATE INDEX products_similar ON products USING gin (folded_name gin_trgm_ops);

-- These rows change often. Free space in the page permits HOT updates, which write no index entry.
CREATE TABLE stock (
    sku text COLLATE "C" PRIMARY KEY REFERENCES products,
    available bigint NOT NULL CHECK (available >= 0),
    held bigint NOT NULL CHECK (held >= 0),
    sold bigint NOT NULL CHECK (sold >= 0)
) WITH (fillfactor = 50);

CREATE TABLE restocks (
    id text PRIMARY KEY,
    sku text COLLATE "C" NOT NULL REFERENCES stock,
    quantity bigint NOT NULL CHECK (quantity > 0),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE reservations (
    order_id uuid PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('HELD', 'SOLD', 'REJECTED', 'RELEASED')),
    reason text,
    skus json NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);

CREATE TABLE reservation_lines (
    order_id uuid NOT NULL REFERENCES reservations,
    sku text COLLATE "C" NOT NULL,
    quantity bigint NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (order_id, sku)
);

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
