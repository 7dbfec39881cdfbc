"""Alembic, run from our own command, and the check of a schema's revision that needs no Alembic.

    DATABASE_URL=postgresql://… python -m chassis.db.migrations SERVICE [SERVICE …]

A service that starts on a schema it does not know fails at its first query, in front of a shopper: `check` keeps it
from becoming ready. A revision that is *newer* than what the code knows is fine, so that a rollback starts.
`test_migrations.py` shows both. A revision is a file `<revision>_<what>.py` under `<service>/migrations/versions`.
"""

import asyncio
import importlib.resources
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection as SyncConnection

    from chassis.db.pool import Database

__all__ = ["SchemaBehind", "check", "head", "upgrade"]

LOCK = 0x51_5A_1D  # any constant: two migrations of one database never run at once


class SchemaBehind(Exception):
    """The schema is older than this code: run the service's migration."""


def revisions(package: str) -> list[str]:
    """The revisions that this code knows, oldest first."""
    folder = importlib.resources.files(package) / "migrations" / "versions"
    return sorted(f.name.split("_")[0] for f in folder.iterdir() if f.name[:1].isdigit() and f.name.endswith(".py"))


def head(package: str) -> str:
    return revisions(package)[-1]


async def check(db: "Database", package: str) -> None:
    """Raises SchemaBehind when the database is at an older revision of ours, or at none."""
    async with db.connection() as connection:
        exists = await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
        current = await connection.fetchval("SELECT version_num FROM alembic_version") if exists else None
    known = revisions(package)
    if current is None or current in known[:-1]:
        raise SchemaBehind(
            f"{package}: the schema is at {current or 'no revision'}, this code needs {known[-1]}; "
            f"run `python -m chassis.db.migrations {package}`"
        )


def upgrade(package: str, url: str) -> None:
    """Brings the database at `url` (postgresql://…) to the newest revision of `package`."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    config = Config()
    config.set_main_option("script_location", f"{package}:migrations")
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)

    def run(connection: "SyncConnection") -> None:
        with EnvironmentContext(config, script, fn=lambda revision, _: script._upgrade_revs("head", revision)) as env:
            env.configure(connection=connection)
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            env.run_migrations()

    async def main() -> None:
        engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1), poolclass=NullPool)
        try:
            async with engine.begin() as connection:
                if await is_ahead(connection):
                    return
                await connection.run_sync(run)
        finally:
            await engine.dispose()

    async def is_ahead(connection: object) -> bool:
        from sqlalchemy.ext.asyncio import AsyncConnection

        assert isinstance(connection, AsyncConnection)
        if not (await connection.execute(text("SELECT to_regclass('alembic_version') IS NOT NULL"))).scalar():
            return False
        current = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
        return current is not None and current not in revisions(package)

    asyncio.run(main())


def main() -> None:
    if not sys.argv[1:] or "DATABASE_URL" not in os.environ:
        sys.exit("usage: DATABASE_URL=postgresql://… python -m chassis.db.migrations SERVICE [SERVICE …]")
    for package in sys.argv[1:]:
        upgrade(package, os.environ["DATABASE_URL"])
        print(f"{package}: at {head(package)}")


if __name__ == "__main__":
    main()
