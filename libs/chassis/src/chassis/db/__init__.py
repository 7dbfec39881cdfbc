"""PostgreSQL by asyncpg: a small pool and one visible transaction.

Two failures made this module. A driver's connection taken out of a SQLAlchemy transaction keeps rows after a
rollback, since the dialect sends BEGIN late: here the driver alone begins and ends. And an unbounded wait for
a connection turns one slow query into a fleet that hangs: here a wait is short and ends in a 503.
`test_db.py` shows both.
"""

from chassis.db.pool import SCHEMA_CHANGED, Connection, Database, is_environment_failure

__all__ = ["SCHEMA_CHANGED", "Connection", "Database", "is_environment_failure"]
