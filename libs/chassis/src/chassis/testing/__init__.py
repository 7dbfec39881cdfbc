"""Helpers for tests; only tests import them. The pytest plugin is `chassis.testing.fixtures`.

- `stores`: the stores of a test session: from the environment, else in containers, else from the system's binaries
- `fixtures`: the stores as pytest fixtures
- `apps`: an application in the test's process, with a client or behind a real server
- `tokens`: bearer tokens that a service under test accepts
- `schema`: describes a database's schema, to compare migrations with models
- `cable`: a connection to a store that a test can cut and mend
- `clock`: shifts this process's clock
- `locks`: waits until a transaction waits for a lock
"""
