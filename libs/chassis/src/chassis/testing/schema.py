"""Describes a database's schema as lines of text, to compare the result of migrations with the models.

Alembic's own comparison sees neither CHECK constraints, nor defaults, nor the expressions of an index.
"""

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

__all__ = ["create", "described"]

COLUMNS = """
SELECT format('%s.%s %s%s%s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
    CASE WHEN a.attnotnull THEN ' NOT NULL' END,
    ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid),
    CASE WHEN a.attcollation <> t.typcollation THEN ' COLLATE ' || a.attcollation::regcollation::text END)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
"""
CONSTRAINTS = """
SELECT format('%s: %s', conrelid::regclass, pg_get_constraintdef(oid))
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND contype <> 'n'
"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"


async def described(url: str) -> set[str]:
    """Returns the columns, constraints and indexes of a service's database, without Alembic's own."""
    connection = await asyncpg.connect(url)
    try:
        rows = [row[0] for query in (COLUMNS, CONSTRAINTS, INDEXES) for row in await connection.fetch(query)]
    finally:
        await connection.close()
    return {row for row in rows if "alembic_version" not in row}


async def create(url: str, metadata: sa.MetaData, *extensions: str) -> None:
    """Creates the tables of the models, without migrations."""
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            for extension in extensions:
                await connection.execute(sa.text(f"CREATE EXTENSION {extension}"))
            await connection.run_sync(metadata.create_all)
    finally:
        await engine.dispose()
