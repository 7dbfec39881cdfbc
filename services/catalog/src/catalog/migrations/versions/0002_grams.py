"""Search finds parts of words in scripts without spaces; see catalog.repository.grams.

The functions at the end are copies: what this revision writes must not change with the code.
"""

import re
import unicodedata

from alembic import op
from sqlalchemy import text

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


RUN = re.compile(
    "["
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u1100-\u11ff\uac00-\ud7a3"  # Hangul
    "\u3005\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31f0-\u31ff"  # kana, bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "]+"
)


def indexed(folded: str) -> str:
    runs: list[str] = RUN.findall(unicodedata.normalize("NFC", folded))
    pairs = [run[at : at + 2] for run in runs for at in range(len(run) - 1)]
    return " ".join([folded, *pairs, *dict.fromkeys("".join(runs))])


def fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(c for c in decomposed if not unicodedata.combining(c)).split())


def category_name(slug: str) -> str:
    return " ".join("&" if word == "and" else word.capitalize() for word in slug.split("-") if word) or slug
