"""Private stores for tests and for a machine without Docker; the pytest plugin is `chassis.testing.fixtures`.

- `processes`: start, find again and stop a process in a session of its own
- `servers`: PostgreSQL, Valkey (or Redis) and RabbitMQ from the system's binaries
- `fixtures`: the stores as pytest fixtures: from the environment, else Testcontainers, else `servers`
"""
