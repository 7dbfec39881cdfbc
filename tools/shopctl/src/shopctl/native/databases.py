"""A role, a database and the newest schema for each service that has one."""

import asyncio
import os
import subprocess

import asyncpg

from chassis.testing.processes import StartError
from chassis.testing.servers import Postgres
from chassis.testing.system import environment, postgres_program
from shopctl.native.services import DEVELOPMENT
from shopctl.place import DATABASES, Place


def make_ready(place: Place, server: Postgres) -> None:
    """Apply deploy/postgres/init.sql and the migrations; quick when all is there. Raises StartError."""
    passwords = {f"{role.upper()}_PASSWORD": place.passwords[f"database.{role}"] for role in (*DATABASES, "auditor")}
    argv = [postgres_program("psql"), "-X", "-q", "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres"]
    script = place.root / "deploy" / "postgres" / "init.sql"
    done = subprocess.run(
        [*argv, "-d", "postgres", "-f", str(script)],
        env=environment() | passwords | {"PGPASSWORD": server.password, "PGOPTIONS": "-c client_min_messages=warning"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise StartError(f"{script.name} failed\n{done.stderr}")
    os.environ.update(DEVELOPMENT)  # migrations read the same environment as the services: the first accounts
    for service in DATABASES:
        migrate(service, place.database_url(service))


def migrate(service: str, url: str) -> None:
    """Bring a database to its service's newest revision; one look when it is there already."""
    from chassis.db import migrations

    if asyncio.run(revision(url)) != migrations.head(service):
        migrations.upgrade(service, url)


async def revision(url: str) -> str | None:
    """The revision that a database is at; None before the first."""
    connection = await asyncpg.connect(url)
    try:
        exists = await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
        found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version") if exists else None
        return found
    finally:
        await connection.close()
