"""Private stores for tests and for a machine without Docker; the pytest plugin is `chassis.testing.fixtures`.

- `processes`: start, find again and stop a process in a session of its own
- `system`: the servers' programs, the users they run as, directories they can reach
- `servers`: PostgreSQL, Valkey (or Redis) and RabbitMQ from the system's binaries
- `stores`: one of each for a test session: from the environment, else Testcontainers, else `servers`
- `fixtures`: the stores as pytest fixtures
- `schema`: what a database's schema is, to compare migrations with models
"""
