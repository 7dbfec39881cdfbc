"""The migrations create the columns, constraints and indexes that the tables describe."""

from collections.abc import Callable

from chassis.testing import schema
from order.tables import metadata


async def test_the_migrated_schema_equals_the_models(database: Callable[[str | None], str]) -> None:
    migrated, modelled = database("order"), database(None)
    await schema.create(modelled, metadata)
    assert await schema.described(migrated) == await schema.described(modelled)
