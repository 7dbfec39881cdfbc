"""A trigger writes `document`, the JSON that the previous release reads; this release renders the columns instead.

The previous release runs on this schema during a rolling update and after a rollback. A migration of the next release
drops the column, the trigger and the function.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

FUNCTION = """
CREATE FUNCTION products_document() RETURNS trigger LANGUAGE plpgsql
SET timezone = 'UTC' -- for updated_at, whatever the writer's session has set
AS $$
DECLARE
    -- One value, because a session that has used NEW.sku fails once a migration changes the type of that column.
    product json := to_json(NEW);
BEGIN
    -- The JSON up to the value of its last member. The previous release appends the value and a brace.
    NEW.document := left(json_build_object(
        'sku', product->'sku',
        'name', product->'name',
        'description', product->'description',
        'category', product->'category',
        'price', json_build_object('amount', product->'amount', 'currency', product->'currency'),
        'image_url', product->'image_url',
        'updated_at', product->'updated_at'
    )::text, -1) || ',"available":';
    RETURN NEW;
END
$$
"""
TRIGGER = """
CREATE TRIGGER products_document BEFORE INSERT OR UPDATE ON products
FOR EACH ROW EXECUTE FUNCTION products_document()
"""


def upgrade() -> None:
    op.execute(FUNCTION)
    op.execute(TRIGGER)
