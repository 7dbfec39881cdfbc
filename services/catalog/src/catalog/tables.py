"""The tables of catalog, as the migrations make them."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from chassis.db.tables import add_outbox_and_inbox

__all__ = ["metadata"]

metadata = sa.MetaData()
add_outbox_and_inbox(metadata)

_Bytewise = sa.Text(collation="C")
_Time = sa.TIMESTAMP(timezone=True)

sa.Table(
    "categories",
    metadata,
    sa.Column("slug", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
)

products = sa.Table(
    "products",
    metadata,
    sa.Column("sku", _Bytewise, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("category", sa.Text, sa.ForeignKey("categories.slug"), nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("image_url", sa.Text),
    sa.Column("hidden", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    sa.Column("created_at", _Time, nullable=False),
    sa.Column("updated_at", _Time, nullable=False),
    # Derived from the name, the category and the description at each write: see `fold`.
    sa.Column("folded_name", _Bytewise, nullable=False),
    sa.Column("search", pg.TSVECTOR, nullable=False),
    # Only the previous release reads this; a trigger writes it: see migration 0003.
    sa.Column("document", sa.Text, nullable=False),
    sa.CheckConstraint("amount >= 0"),
)

_visible = sa.not_(products.c.hidden)
for _key in (products.c.folded_name, products.c.amount, products.c.created_at):
    sa.Index(f"products_by_{_key.name}", _key, products.c.sku, postgresql_where=_visible)
    sa.Index(
        f"products_by_category_{_key.name}",
        products.c.category,
        _key,
        products.c.sku,
        postgresql_where=_visible,
    )
sa.Index("products_search", products.c.search, postgresql_using="gin")
sa.Index(
    "products_similar",
    products.c.folded_name,
    postgresql_using="gin",
    postgresql_ops={"folded_name": "gin_trgm_ops"},
)

sa.Table(
    "words",
    metadata,
    # Of the names, folded; a trigger adds them: see migration 0005.
    sa.Column("word", _Bytewise, primary_key=True),
    sa.Index("words_similar", "word", postgresql_using="gin", postgresql_ops={"word": "gin_trgm_ops"}),
)
sa.Table(
    "stock",
    metadata,
    sa.Column("sku", _Bytewise, sa.ForeignKey("products.sku"), primary_key=True),
    sa.Column("available", sa.BigInteger, sa.CheckConstraint("available >= 0"), nullable=False),
    sa.Column("held", sa.BigInteger, sa.CheckConstraint("held >= 0"), nullable=False),
    sa.Column("sold", sa.BigInteger, sa.CheckConstraint("sold >= 0"), nullable=False),
)
sa.Table(
    "restocks",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("sku", _Bytewise, sa.ForeignKey("stock.sku"), nullable=False),
    sa.Column("quantity", sa.BigInteger, sa.CheckConstraint("quantity > 0"), nullable=False),
    sa.Column("created_at", _Time, nullable=False, server_default=sa.func.now()),
    sa.Index("restocks_of", "sku", "created_at"),
)
sa.Table(
    "reservations",
    metadata,
    sa.Column("order_id", sa.Uuid, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("skus", sa.JSON, nullable=False, server_default="[]"),
    sa.Column("created_at", _Time, nullable=False, server_default=sa.func.now()),
    sa.CheckConstraint("state IN ('HELD', 'SOLD', 'REJECTED', 'RELEASED')"),
)
sa.Table(
    "reservation_lines",
    metadata,
    sa.Column("order_id", sa.Uuid, sa.ForeignKey("reservations.order_id"), primary_key=True),
    sa.Column("sku", _Bytewise, primary_key=True),
    sa.Column("quantity", sa.BigInteger, sa.CheckConstraint("quantity > 0"), nullable=False),
)
