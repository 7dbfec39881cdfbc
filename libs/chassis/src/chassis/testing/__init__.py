"""What tests share; nothing but tests imports it. The pytest plugin is `chassis.testing.fixtures`.

- `stores`: one PostgreSQL, Valkey and RabbitMQ for a test session: from the environment, else as containers, else local
- `fixtures`: the stores as pytest fixtures
- `apps`: an application in the test's process, with a client or behind a real server
- `tokens`: bearer tokens that a service under test accepts
- `schema`: describes a database's schema, to compare migrations with models
- `cable`: a connection to a store that a test can cut and mend
- `clock`: shifts this process's clock
- `locks`: waits until a transaction is held up
"""
