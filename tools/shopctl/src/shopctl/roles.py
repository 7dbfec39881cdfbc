"""PostgreSQL's roles and databases, as the SQL script deploy/postgres/init.sql."""

from shopctl.services import Services

__all__ = ["script"]

# Extensions that a service's migrations use; a superuser creates them.
EXTENSIONS = {"catalog": ("pg_trgm",)}


def script(services: Services) -> str:
    """A script for psql that may run again at any time. Passwords come from its environment."""
    names = sorted(services.databases)
    roles = [*names, "auditor"]
    quoted = ", ".join(f'"{name}"' for name in names)
    lines = [
        "-- A database and a role for each service, and a role that may read them all. psql runs it as a superuser; it",
        "-- may run again at any time. Passwords come from the environment: CATALOG_PASSWORD, AUDITOR_PASSWORD, …",
        "-- `make format` writes this file from the services' declarations.",
        "",
        "\\set ON_ERROR_STOP on",
        *(f"\\getenv {role}_password {role.upper()}_PASSWORD" for role in roles),
        "",
        "SELECT format('CREATE ROLE %I LOGIN', role)",
        f"FROM unnest(ARRAY[{', '.join(map(repr, roles))}]) AS role",
        "WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) \\gexec",
        "",
        *(f"ALTER ROLE \"{role}\" PASSWORD :'{role}_password';" for role in roles),
        "ALTER ROLE auditor SET default_transaction_read_only = on;",
        "GRANT pg_read_all_stats TO auditor;  -- the audit looks for sessions idle in transaction",
        "",
        "-- The exporter for Prometheus reads figures of the server, and no table of a service.",
        "\\getenv exporter_password EXPORTER_PASSWORD",
        "\\if :{?exporter_password}",
        "SELECT 'CREATE ROLE exporter LOGIN IN ROLE pg_monitor CONNECTION LIMIT 5'",
        "WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'exporter') \\gexec",
        "ALTER ROLE exporter PASSWORD :'exporter_password';",
        "ALTER ROLE exporter SET default_transaction_read_only = on;",
        "\\endif",
        "",
        "SELECT format('CREATE DATABASE %I OWNER %I', service, service)",
        f"FROM unnest(ARRAY[{', '.join(map(repr, names))}]) AS service",
        "WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = service) \\gexec",
        "",
        f"REVOKE ALL ON DATABASE {quoted} FROM PUBLIC;",
        f"GRANT CONNECT ON DATABASE {quoted} TO auditor;",
    ]
    for name in names:
        lines += [
            "",
            f'\\connect "{name}"',
            *(f"CREATE EXTENSION IF NOT EXISTS {extension};" for extension in EXTENSIONS.get(name, ())),
            "GRANT USAGE ON SCHEMA public TO auditor;",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO auditor;",
            f'ALTER DEFAULT PRIVILEGES FOR ROLE "{name}" GRANT SELECT ON TABLES TO auditor;',
        ]
    return "\n".join(lines) + "\n"
