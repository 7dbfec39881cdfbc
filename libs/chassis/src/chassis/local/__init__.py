"""The programs of this machine: how `shopctl` runs the shop, and the tests their stores, without containers.

- `processes`: starts a process in a session of its own, finds it again, stops it
- `system`: finds the servers' programs, the users they run as, and directories they can reach
- `servers`: PostgreSQL, Valkey (or Redis) and RabbitMQ from the system's binaries
"""
