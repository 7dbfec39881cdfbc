"""Creates the role, the database and the newest schema of each service that has a database."""

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import asyncpg

from chassis.local.processes import StartError
from chassis.local.servers import Postgres
from chassis.local.system import environment, postgres_program
from shopctl.native.services import Service, services
from shopctl.place import Place
from shopctl.roles import script


def make_ready(place: Place, server: Postgres) -> None:
    """Create roles and databases and run the migrations; quick if nothing has changed. Raises StartError."""
    roles = (*place.services.databases, "auditor", "exporter")
    passwords = {f"{role.upper()}_PASSWORD": place.passwords[f"database.{role}"] for role in roles}
    argv = [postgres_program("psql"), "-X", "-q", "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres"]
    done = subprocess.run(
        [*argv, "-d", "postgres"],
        input=script(place.services),
        env=environment() | passwords | {"PGPASSWORD": server.password, "PGOPTIONS": "-c client_min_messages=warning"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise StartError(f"Roles and databases could not be made\n{done.stderr}")
    with ThreadPoolExecutor() as pool:
        list(pool.map(migrate, (service for service in services(place) if "DATABASE_URL" in service.env)))


def migrate(service: Service) -> None:
    """Migrate a database to its service's newest revision, if it is older.

    The migration is a process of its own, because it reads the service's environment and not ours. Raises StartError.
    """
    from chassis.db import migrations

    if asyncio.run(revision(service.env["DATABASE_URL"])) == migrations.head(service.name):
        return
    argv = [sys.executable, "-m", "chassis.db.migrations", service.name]
    done = subprocess.run(argv, cwd=service.cwd, env=service.environment, capture_output=True, text=True)
    if done.returncode:
        raise StartError(f"The database of {service.name} could not be migrated\n{done.stderr}")


async def revision(url: str) -> str | None:
    """The revision of a database; None before the first."""
    connection = await asyncpg.connect(url)
    try:
        exists = await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
        found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version") if exists else None
        return found
    finally:
        await connection.close()
