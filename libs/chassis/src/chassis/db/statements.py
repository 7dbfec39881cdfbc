"""SQLAlchemy Core statements as asyncpg takes them, for queries that are composed."""

from typing import Any

from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

__all__ = ["compiled"]

_dialect = PGDialect_asyncpg()  # type: ignore[no-untyped-call]


def compiled(statement: ClauseElement) -> tuple[str, list[Any]]:
    """`(sql, arguments)` of a statement, with `$1 …`: `await tx.fetch(sql, *arguments)`."""
    result = statement.compile(dialect=_dialect, compile_kwargs={"render_postcompile": True})
    assert isinstance(result, SQLCompiler)
    parameters = result.construct_params()
    return result.string, [parameters[name] for name in result.positiontup or ()]
