"""PostgreSQL by asyncpg: a small pool and one visible transaction.

It prevents two failures. First, SQLAlchemy sends BEGIN late, so code that takes the driver's connection out of its
transaction writes rows that a rollback keeps. Here only the driver begins and ends transactions. Second, if requests
wait for a connection without a limit, one slow query makes the whole service hang. Here the wait is short and ends in a
503. `test_pool.py` shows both.
"""

from chassis.db.pool import SCHEMA_CHANGED, Connection, Database, is_environment_failure
from chassis.db.usual import only_if, usual

__all__ = ["SCHEMA_CHANGED", "Connection", "Database", "is_environment_failure", "only_if", "usual"]
