"""A service becomes ready on a schema it knows, and on a newer one, but not on an older one."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from chassis.db import Database
from chassis.db.migrations import SchemaBehind, check, head, revisions, upgrade

ENV = "from alembic import context\n\ncontext.run_migrations()\n"
FIRST = """
from alembic import op
revision, down_revision = "0001", None
def upgrade():
    op.execute("CREATE TABLE lamps (id int)")
"""
SECOND = """
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    op.execute("ALTER TABLE lamps ADD name text")
"""


@pytest.fixture
def lamps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with two revisions."""
    name = f"lamps_{tmp_path.name}".replace("-", "_")
    versions = tmp_path / name / "migrations" / "versions"
    versions.mkdir(parents=True)
    for folder in (versions.parent.parent, versions.parent):
        (folder / "__init__.py").touch()
    (versions.parent / "env.py").write_text(ENV)
    (versions / "0001_lamps.py").write_text(FIRST)
    (versions / "0002_names.py").write_text(SECOND)
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.fixture
def url(database: Callable[..., str]) -> str:
    return database(None)


async def checked(url: str, package: str) -> None:
    async with Database(url, name="lamps") as db:
        await check(db, package)


async def run(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def test_a_packages_revisions_are_its_files_names(lamps: str):
    assert revisions(lamps) == ["0001", "0002"]
    assert head(lamps) == "0002"


async def test_an_empty_database_is_behind(lamps: str, url: str):
    with pytest.raises(SchemaBehind, match="no revision"):
        await checked(url, lamps)


async def test_after_the_upgrade_the_schema_is_known(lamps: str, url: str):
    await asyncio.to_thread(upgrade, lamps, url)

    await checked(url, lamps)
    assert await run(url, "SELECT count(name) FROM lamps") == 0


async def test_an_upgrade_may_run_again_and_twice_at_once(lamps: str, url: str):
    code = f"import sys; sys.path[:] = {sys.path!r}; from chassis.db.migrations import main; main()"
    environment = {**os.environ, "DATABASE_URL": url}
    command = (sys.executable, "-c", code, lamps)
    runs = [await asyncio.create_subprocess_exec(*command, env=environment) for _ in range(2)]

    assert [await process.wait() for process in runs] == [0, 0]
    await asyncio.to_thread(upgrade, lamps, url)
    assert await run(url, "SELECT version_num FROM alembic_version") == "0002"


async def test_an_older_schema_is_behind_and_the_message_says_what_to_run(lamps: str, url: str):
    await asyncio.to_thread(upgrade, lamps, url)
    await run(url, "UPDATE alembic_version SET version_num = '0001'")

    with pytest.raises(SchemaBehind, match=f"at 0001.*needs 0002.*chassis.db.migrations {lamps}"):
        await checked(url, lamps)


async def test_a_newer_schema_is_fine_so_that_a_rollback_starts(lamps: str, url: str):
    await asyncio.to_thread(upgrade, lamps, url)
    await run(url, "UPDATE alembic_version SET version_num = '0003'")

    await checked(url, lamps)
    await asyncio.to_thread(upgrade, lamps, url)
    assert await run(url, "SELECT version_num FROM alembic_version") == "0003"


async def test_a_failed_upgrade_leaves_nothing(lamps: str, url: str, tmp_path: Path):
    broken = SECOND.replace("ALTER TABLE lamps ADD name text", "SELECT 1 / 0")
    (tmp_path / lamps / "migrations" / "versions" / "0002_names.py").write_text(broken)

    with pytest.raises(Exception, match="division by zero"):
        await asyncio.to_thread(upgrade, lamps, url)

    assert await run(url, "SELECT to_regclass('lamps') IS NULL AND to_regclass('alembic_version') IS NULL")
