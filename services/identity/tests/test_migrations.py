"""The migrated schema is the one that `models` describes."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from identity.models import metadata


async def test_models_and_migrations_agree(database: Callable[[str | None], str]) -> None:
    url = database("identity").replace("postgresql://", "postgresql+asyncpg://", 1)
    engine = create_async_engine(url, poolclass=NullPool)

    def differences(connection: sa.Connection) -> Any:
        found = compare_metadata(MigrationContext.configure(connection), metadata)
        return [d for d in found if "alembic_version" not in str(d)]

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()
