"""Runs the programs of this machine without containers: for `shopctl` the shop, for tests their stores.

- `processes`: starts a process in a session of its own, finds it again, stops it
- `fork_server`: starts Python programs that share memory
- `system`: finds the servers' programs, the users they run as, and directories they can reach
- `servers`: PostgreSQL, Valkey (or Redis) and RabbitMQ from the system's binaries
"""
