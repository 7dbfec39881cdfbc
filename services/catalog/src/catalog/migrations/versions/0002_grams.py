"""Products in scripts without spaces are found by parts of their words; see catalog.repository.grams."""

from alembic import op
from sqlalchemy import text

from catalog.models import category_name, fold
from catalog.repository.grams import indexed

revision = "0002"
down_revision = "0001"

SELECT = r"""
SELECT sku, name, category, description FROM products
WHERE name || description ~ '[^\u0001-\u0dff]' ORDER BY sku FOR NO KEY UPDATE
"""
UPDATE = """
UPDATE products SET search = setweight(to_tsvector('english', :name), 'A')
    || setweight(to_tsvector('english', :category), 'B') || setweight(to_tsvector('english', :description), 'C')
WHERE sku = :sku
"""


def upgrade() -> None:
    """Only `search` changes, so the release before this one can go on reading and writing."""
    connection = op.get_bind()
    for sku, name, category, description in connection.execute(text(SELECT)).all():
        parts = {"name": name, "category": category_name(category), "description": description}
        words = {part: indexed(fold(whole)) for part, whole in parts.items()}
        connection.execute(text(UPDATE), {"sku": sku, **words})
