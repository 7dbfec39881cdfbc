"""Runs Alembic from our own command, and checks a schema's revision without Alembic.

    DATABASE_URL=postgresql://… python -m chassis.db.migrations SERVICE
    DATABASE_URL=postgresql://… python -m chassis.db.migrations --check SERVICE --wait 60

A service that starts on an old schema would fail at its first query, so `check` prevents it from becoming ready. A
revision that is *newer* than those the code knows is accepted, so that an earlier release can start after a rollback.
`test_migrations.py` shows both. A revision is a file `<revision>_<what>.py` under `<service>/migrations/versions`.
"""

import argparse
import asyncio
import contextlib
import importlib.resources
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import asyncpg
from pydantic import ValidationError

from chassis.db.pool import Database, DatabaseDown, is_environment_failure
from chassis.settings import DatabaseUrl, ServiceSettings, problems

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection as SyncConnection
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["SchemaBehind", "check", "head", "upgrade"]

LOCK = 0x51_5A_1D  # any constant; it keeps two migrations of one database from running at once


class SchemaBehind(Exception):
    """The schema is older than this code: run the service's migration."""


def revisions(package: str) -> list[str]:
    """Returns the revisions that this code knows, oldest first. Raises FileNotFoundError if there are none."""
    folder = importlib.resources.files(package) / "migrations" / "versions"
    found = sorted(f.name.split("_")[0] for f in folder.iterdir() if f.name[:1].isdigit() and f.name.endswith(".py"))
    if not found:
        raise FileNotFoundError(f"{package} has no migrations")
    return found


def head(package: str) -> str:
    return revisions(package)[-1]


async def check(db: Database, package: str) -> None:
    """Raises SchemaBehind when the database is at an older revision, or at none; or DatabaseDown."""
    with _named(package):
        async with db.connection() as connection:
            exists = await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
            current = await connection.fetchval("SELECT version_num FROM alembic_version") if exists else None
    known = revisions(package)
    if current is None or current in known[:-1]:
        raise SchemaBehind(
            f"{package}: the schema is at {current or 'no revision'}, this code needs {known[-1]}; "
            f"run `python -m chassis.db.migrations {package}`"
        )


async def reach(db: Database, package: str) -> None:
    """Raises DatabaseDown."""
    with _named(package):
        await db.ping()


@contextlib.contextmanager
def _named(package: str) -> Iterator[None]:
    """Raises database errors as DatabaseDown, with the service's name before the message."""
    try:
        yield
    except (OSError, asyncpg.PostgresError) as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        temporary = getattr(error, "temporary", is_environment_failure(error))
        raise DatabaseDown(f"{package}: {why}", temporary=temporary) from error


def upgrade(package: str, url: str) -> None:
    """Upgrades the database at `url` (postgresql://…) to the newest revision of `package`.

    Each revision is a transaction; its `autocommit_block` leaves it, as for an index that is built concurrently.
    """
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
            env.configure(connection=connection, transaction_per_migration=True)
            env.run_migrations()

    async def main() -> None:
        engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1), poolclass=NullPool)
        try:
            async with engine.connect() as connection:
                await alone(connection)
                if not await is_ahead(connection):
                    await connection.run_sync(run)
        finally:
            await engine.dispose()

    async def alone(connection: "AsyncConnection") -> None:
        """Waits until no other migration of this database runs; the next ones wait until this connection is closed.

        CREATE INDEX CONCURRENTLY waits for every statement that runs, so no statement may wait for the migration.
        """
        while not await scalar(connection, f"SELECT pg_try_advisory_lock({LOCK})"):  # noqa: ASYNC110
            await asyncio.sleep(0.2)

    async def is_ahead(connection: "AsyncConnection") -> bool:
        if not await scalar(connection, "SELECT to_regclass('alembic_version') IS NOT NULL"):
            return False
        current = await scalar(connection, "SELECT version_num FROM alembic_version")
        return current is not None and current not in revisions(package)

    async def scalar(connection: "AsyncConnection", query: str) -> Any:
        """Each query is a transaction."""
        async with connection.begin():
            return (await connection.execute(text(query))).scalar()

    asyncio.run(main())


class Settings(ServiceSettings):
    """The settings of the command."""

    database_url: DatabaseUrl


class Parser(argparse.ArgumentParser):
    """Reports a usage error in one line."""

    def error(self, message: str) -> NoReturn:
        raise SystemExit(f"{message}; {' '.join(self.format_usage().split())}")


def main(arguments: list[str] | None = None) -> None:
    """Runs the command. For an error that an operator can fix it prints one line that says how; for a bug, a stack."""
    parser = Parser(prog="python -m chassis.db.migrations", description="Upgrades a schema to its newest revision.")
    parser.add_argument("service", metavar="SERVICE")
    parser.add_argument(
        "--check", action="store_true", help="only check whether the schema is new enough for this code"
    )
    parser.add_argument(
        "--wait",
        type=float,
        metavar="SECONDS",
        help="how long to wait for the database (default 60), or with --check for the schema too (default 0)",
    )
    given = parser.parse_args(arguments)
    service: str = given.service
    try:
        revisions(service)
    except (ImportError, FileNotFoundError, TypeError, ValueError):
        raise SystemExit(f"{service}: no service of this name is installed here, or it has no schema") from None
    url = Settings.load(service).database_url.get_secret_value()
    if given.check:
        asyncio.run(_wait(check, url, service, given.wait or 0))
    else:
        asyncio.run(_wait(reach, url, service, 60 if given.wait is None else given.wait))
        _migrate(service, url)


async def _wait(until: Callable[[Database, str], Awaitable[None]], url: str, service: str, seconds: float) -> None:
    """Returns once `until` succeeds. Ends the process after `seconds`, or at once if waiting does not help."""
    deadline = time.monotonic() + seconds
    waiting = False
    async with Database(url, name=f"{service}-migration", size=1) as db:
        while True:
            try:
                return await until(db, service)
            except (DatabaseDown, SchemaBehind) as error:
                in_vain = isinstance(error, DatabaseDown) and not error.temporary
                if in_vain or time.monotonic() >= deadline:
                    raise SystemExit(str(error)) from None
                if not waiting:
                    print(f"{error} (waiting up to {seconds:g} s)", flush=True)
                waiting = True
            await asyncio.sleep(0.5)


def _migrate(service: str, url: str) -> None:
    from sqlalchemy.exc import DBAPIError

    try:
        upgrade(service, url)
    except ValidationError as error:  # settings of a migration
        raise SystemExit("\n".join(f"{service}: {problem}" for problem in problems(error))) from None
    except (OSError, DBAPIError) as error:
        cause = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig else error
        why = str(cause).partition("\n")[0]
        if isinstance(cause, asyncpg.InsufficientPrivilegeError):
            raise SystemExit(f"{service}: {why}; DATABASE_URL's role must own the database") from None
        if cause and is_environment_failure(cause):
            raise SystemExit(f"{service}: the migration was interrupted: {why}; run it again") from None
        raise
    print(f"{service}: at {head(service)}")


if __name__ == "__main__":
    main()
