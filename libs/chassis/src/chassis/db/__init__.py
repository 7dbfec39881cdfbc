"""PostgreSQL by asyncpg: a small pool and one visible transaction.

It prevents two failures. A driver connection taken out of a SQLAlchemy transaction keeps rows after a rollback, since
the dialect sends BEGIN late: here only the driver begins and ends transactions. And an unbounded wait for a connection
turns one slow query into a service that hangs: here the wait is short and ends in a 503. `test_pool.py` shows both.
"""

from chassis.db.pool import SCHEMA_CHANGED, Connection, Database, is_environment_failure

__all__ = ["SCHEMA_CHANGED", "Connection", "Database", "is_environment_failure"]
