"""A use case in one statement, for the usual case: all of it is done, or nothing.

A use case that reads, decides and writes takes about ten round trips to the database, and each of them wakes two
processes. Where nearly all calls take the same course (the event is new, the order is in the expected state, the stock
suffices), one statement can do the same work on the assumption that they do. If the assumption is wrong, the statement
fails as a whole, and the general code decides. The general code is the specification: for each such statement, a test
shows that both leave the same rows.
"""

from typing import Any

import asyncpg

from chassis.db.pool import Connection

__all__ = ["only_if", "usual"]


def only_if(condition: str) -> str:
    """Returns an expression that makes its statement fail unless the condition holds: it divides by zero."""
    return f"1 / ({condition})::int"


async def usual(connection: Connection, statement: str, *arguments: Any) -> list[asyncpg.Record] | None:
    """Runs a statement outside any transaction. Returns its rows, or None if it has changed nothing.

    It changes nothing if an `only_if` does not hold, or if it violates a CHECK or a unique constraint.
    """
    try:
        return await connection.fetch(statement, *arguments)
    except (asyncpg.DivisionByZeroError, asyncpg.CheckViolationError, asyncpg.UniqueViolationError):
        return None
