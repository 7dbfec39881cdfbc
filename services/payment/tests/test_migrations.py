"""The migrated schema is the one that the tables describe: columns, constraints, indexes."""

from collections.abc import Callable

from chassis.testing import schema
from payment.tables import metadata


async def test_the_migrations_make_what_the_models_describe(database: Callable[[str | None], str]) -> None:
    migrated, modelled = database("payment"), database(None)
    await schema.create(modelled, metadata)
    assert await schema.described(migrated) == await schema.described(modelled)
