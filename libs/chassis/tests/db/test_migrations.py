"""A service becomes ready on a schema that it knows or a newer one, but not on an older one.

The command that migrates reports in one line what prevents it.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from chassis.db import Database
from chassis.db.migrations import SchemaBehind, check, head, main, revisions, upgrade
from chassis.db.pool import DatabaseDown
from chassis.testing.cable import Cable
from chassis.testing.fixtures import execute

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

INDEX = """
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    with op.get_context().autocommit_block():
        op.execute("SELECT pg_sleep(1)")  # the second run now waits
        op.execute("CREATE INDEX CONCURRENTLY lamps_by_id ON lamps (id)")
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


async def command(url: str, *arguments: str) -> tuple[int | None, str, str]:
    """Runs the command as a process; returns its status, stdout and stderr."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from chassis.db.migrations import main; main()"
    environment = {**os.environ, "DATABASE_URL": url}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *arguments, env=environment, stdout=-1, stderr=-1
    )
    said, complained = await process.communicate()
    return process.returncode, said.decode(), complained.decode()


def refusal(*arguments: str) -> str:
    """Returns the line with which the command ends."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert isinstance(ended.value.code, str)  # which Python prints on stderr, with status 1
    assert "9d2f" not in ended.value.code
    (line,) = ended.value.code.splitlines()
    return line


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
    runs = await asyncio.gather(command(url, lamps), command(url, lamps))

    assert runs == [(0, f"{lamps}: at 0002\n", "")] * 2
    await asyncio.to_thread(upgrade, lamps, url)
    assert await run(url, "SELECT version_num FROM alembic_version") == "0002"


async def test_an_older_schema_is_behind_and_the_message_says_what_to_run(lamps: str, url: str):
    await asyncio.to_thread(upgrade, lamps, url)
    await run(url, "UPDATE alembic_version SET version_num = '0001'")

    with pytest.raises(SchemaBehind, match=f"at 0001.*needs 0002.*chassis.db.migrations {lamps}"):
        await checked(url, lamps)


async def test_a_newer_schema_is_accepted_so_that_a_rollback_starts(lamps: str, url: str):
    await asyncio.to_thread(upgrade, lamps, url)
    await run(url, "UPDATE alembic_version SET version_num = '0003'")

    await checked(url, lamps)
    await asyncio.to_thread(upgrade, lamps, url)
    assert await run(url, "SELECT version_num FROM alembic_version") == "0003"


async def test_a_failed_revision_leaves_nothing_and_those_before_it_stay(lamps: str, url: str, tmp_path: Path):
    second = tmp_path / lamps / "migrations" / "versions" / "0002_names.py"
    second.write_text(SECOND + '    op.execute("SELECT 1 / 0")\n')

    with pytest.raises(Exception, match="division by zero"):
        await asyncio.to_thread(upgrade, lamps, url)

    assert await run(url, "SELECT version_num FROM alembic_version") == "0001"
    second.write_text(SECOND)
    await asyncio.to_thread(upgrade, lamps, url)
    assert await run(url, "SELECT count(name) FROM lamps") == 0


async def test_an_index_is_built_without_blocking_writers_while_a_second_run_waits(
    lamps: str, url: str, tmp_path: Path
):
    """PostgreSQL builds it outside a transaction, and waits for every query that runs: also for one that waits."""
    (tmp_path / lamps / "migrations" / "versions" / "0002_names.py").write_text(INDEX)

    runs = await asyncio.gather(command(url, lamps), command(url, lamps))

    assert runs == [(0, f"{lamps}: at 0002\n", "")] * 2
    assert await run(url, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'lamps_by_id'::regclass")


async def test_a_database_that_does_not_answer_is_reported_with_the_services_name(lamps: str):
    with pytest.raises(DatabaseDown, match=f"^{lamps}: PostgreSQL at 127.0.0.1:1 does not answer: connection refused"):
        await checked("postgresql://lamps:9d2f@127.0.0.1:1/lamps", lamps)


async def test_the_process_ends_with_one_line_when_the_database_does_not_answer(lamps: str):
    ended = await command("postgresql://lamps:9d2f@127.0.0.1:1/lamps", lamps, "--wait", "0")

    line = f"{lamps}: PostgreSQL at 127.0.0.1:1 does not answer: connection refused; is DATABASE_URL right?"
    assert ended == (1, "", f"{line}\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "the following arguments are required: SERVICE; usage: python -m chassis.db.migrations "),
        (["chassis", "--wait", "soon"], "argument --wait: invalid float value: 'soon'; usage: "),
        (["chairs"], "chairs: no service of this name is installed here, or it has no schema"),
        (["chassis"], "chassis: no service of this name is installed here, or it has no schema"),
        (["os"], "os: no service of this name is installed here, or it has no schema"),
    ],
)
def test_a_usage_error_is_reported_in_one_line(arguments: list[str], line: str):
    assert refusal(*arguments).startswith(line)


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({}, "DATABASE_URL is not set; set it, or DATABASE_URL_FILE"),
        ({"DATABASE_URL": "sqlite:///lamps"}, "DATABASE_URL must look like postgresql://"),
        ({"DATABASE_URL": "postgresql://lamps:change-me@db/lamps"}, "DATABASE_URL holds a placeholder; "),
        ({"DATABASE_URL_FILE": "/nowhere"}, "DATABASE_URL_FILE: /nowhere cannot be read (no such file or directory); "),
    ],
)
def test_wrong_settings_are_reported_in_one_line(
    lamps: str, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], line: str
):
    for name in ("ENVIRONMENT", "DATABASE_URL", "DATABASE_URL_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert refusal(lamps).startswith(f"{lamps}: {line}")


def test_the_url_may_come_from_a_file(
    lamps: str, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "url").write_text(url)
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))

    main([lamps])

    assert capsys.readouterr().out == f"{lamps}: at 0002\n"


@pytest.fixture
def at(url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Points the command at the test's database, with parts of the URL changed."""

    def point(**change: str) -> None:
        monkeypatch.setenv("DATABASE_URL", urlsplit(url)._replace(**change).geturl())

    return point


@pytest.mark.parametrize("arguments", [["--wait", "60"], ["--check", "--wait", "60"]])
def test_a_wrong_password_or_database_is_reported_at_once(
    lamps: str, url: str, at: Callable[..., None], arguments: list[str]
):
    host = urlsplit(url).netloc.rpartition("@")[2]

    at(netloc=f"postgres:9d2f@{host}")
    assert refusal(lamps, *arguments) == (
        f'{lamps}: PostgreSQL at {host} refuses: password authentication failed for user "postgres";'
        " correct DATABASE_URL"
    )

    at(path="/chairs")
    assert f'{lamps}: PostgreSQL at {host} refuses: database "chairs" does not exist' in refusal(lamps, *arguments)


def test_a_role_that_may_not_change_the_schema_is_reported(
    lamps: str, url: str, postgres_server: str, at: Callable[..., None]
):
    host = urlsplit(url).netloc.rpartition("@")[2]
    execute(postgres_server, f"CREATE ROLE {lamps} LOGIN PASSWORD '9d2f'")
    try:
        at(netloc=f"{lamps}:9d2f@{host}")
        line = refusal(lamps)
    finally:
        execute(postgres_server, f"DROP ROLE {lamps}")

    assert line == f"{lamps}: permission denied for schema public; DATABASE_URL's role must own the database"


def test_a_bug_in_a_migration_keeps_its_stack(lamps: str, at: Callable[..., None], tmp_path: Path):
    broken = SECOND.replace("ALTER TABLE lamps ADD name text", "SELECT 1 / 0")
    (tmp_path / lamps / "migrations" / "versions" / "0002_names.py").write_text(broken)
    at()

    with pytest.raises(Exception, match="division by zero"):
        main([lamps])


def test_the_check_succeeds_at_the_newest_revision_and_at_a_newer_one(lamps: str, url: str, at: Callable[..., None]):
    at()
    main([lamps])

    main(["--check", lamps])
    execute(url, "UPDATE alembic_version SET version_num = '0003'")
    main(["--check", lamps])


def test_the_check_of_an_older_schema_ends_with_a_line_that_says_what_to_run(lamps: str, at: Callable[..., None]):
    at()

    assert refusal("--check", lamps) == (
        f"{lamps}: the schema is at no revision, this code needs 0002; run `python -m chassis.db.migrations {lamps}`"
    )


def test_the_check_waits_for_the_migration(lamps: str, url: str, at: Callable[..., None]):
    at()
    migration = threading.Timer(1, upgrade, (lamps, url))
    migration.start()

    main(["--check", lamps, "--wait", "30"])

    migration.join()


async def test_the_migration_waits_for_the_database(
    lamps: str,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    eventually: Callable[..., Awaitable[object]],
):
    async with Cable(url) as cable:
        await cable.cut()
        monkeypatch.setenv("DATABASE_URL", cable.url)

        migration = asyncio.create_task(asyncio.to_thread(main, [lamps]))
        await eventually(lambda: "connection refused" in capsys.readouterr().out)
        await cable.mend()
        await migration

    assert capsys.readouterr().out == f"{lamps}: at 0002\n"
