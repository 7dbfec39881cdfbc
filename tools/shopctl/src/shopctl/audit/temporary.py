"""A database in a temporary file, for what does not come in the order in which it is needed."""

import sqlite3

__all__ = ["temporary"]


def temporary(schema: str) -> sqlite3.Connection:
    """Open a database of SQLite with these tables; closing it removes its file."""
    database = sqlite3.connect("", isolation_level=None)
    database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE; {schema}")
    return database
