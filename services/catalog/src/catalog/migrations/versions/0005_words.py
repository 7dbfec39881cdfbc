"""The words of the products' names, by which the spelling of a search is corrected: see catalog.repository.spelling.

A trigger adds them, so that those which the previous release writes are known too. A word stays if its last product is
renamed.
"""

from alembic import op

revision = "0005"
down_revision = "0004"

LETTERS = "tokid IN (1, 2, 10, 11) AND length(token) > 2"  # words, and parts of words with hyphens
STATEMENTS = [
    'CREATE TABLE IF NOT EXISTS words (word text COLLATE "C" PRIMARY KEY)',
    f"""
    CREATE OR REPLACE FUNCTION products_words() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO words (word) -- in one order, so that two writers of the same new words cannot deadlock
        SELECT DISTINCT token FROM ts_parse('default', NEW.folded_name) WHERE {LETTERS} ORDER BY token
        ON CONFLICT DO NOTHING;
        RETURN NULL;
    END
    $$
    """,  # noqa: S608
    """
    CREATE OR REPLACE TRIGGER products_words AFTER INSERT OR UPDATE OF folded_name ON products
    FOR EACH ROW EXECUTE FUNCTION products_words()
    """,
    f"""
    INSERT INTO words (word) SELECT DISTINCT token FROM products, ts_parse('default', folded_name) WHERE {LETTERS}
    ORDER BY token ON CONFLICT DO NOTHING
    """,  # noqa: S608
    "DROP INDEX CONCURRENTLY IF EXISTS words_similar",
    "CREATE INDEX CONCURRENTLY words_similar ON words USING gin (word gin_trgm_ops)",
]


def upgrade() -> None:
    """Commits each statement, so that products can be written meanwhile. After an interruption it may run again."""
    with op.get_context().autocommit_block():
        for statement in STATEMENTS:
            op.execute(statement)
