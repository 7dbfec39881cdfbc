"""Finds an order by its ID or the beginning of its ID."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from shopctl.console import fail, printable, reason
from shopctl.place import Place

__all__ = ["UNREACHABLE", "Order", "fetch", "find", "look_up", "only"]

UNREACHABLE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
BEGINNING = re.compile(r"[0-9a-f]{1,8}(-[0-9a-f]{0,4}){0,3}(-[0-9a-f]{0,12})?|[0-9a-f]{1,32}")


@dataclass(frozen=True)
class Order:
    """One order. `trace_id` is that of the request that placed it; None if it had none."""

    id: UUID
    status: str
    created_at: datetime
    trace_id: str | None


def find(place: Place, beginning: str) -> Order:
    """Returns the only order whose ID begins so. Fails if there is none, or several, or no database."""
    try:
        found = asyncio.run(look_up(place, beginning))
    except UNREACHABLE as error:
        fail(f"PostgreSQL: {reason(error)}")
    return only(found, beginning)


def only(found: Sequence[Order], beginning: str) -> Order:
    """Returns the only one of these. Fails if there is none, or several."""
    if not found:
        fail(f"There is no order {printable(beginning)}.")
    if len(found) > 1:
        fail(f"Several orders begin with {beginning}; give more of the ID.")
    return found[0]


async def look_up(place: Place, beginning: str) -> list[Order]:
    """Returns up to two orders whose IDs begin so. Raises one of UNREACHABLE."""
    text = beginning.strip().lower()
    if not BEGINNING.fullmatch(text):
        return []
    digits = text.replace("-", "")
    first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    if "-" in text and not str(first).startswith(text):
        return []
    rows = await fetch(
        place,
        "order",
        "SELECT id, status, created_at, traceparent FROM orders WHERE id BETWEEN $1 AND $2 ORDER BY id LIMIT 2",
        first,
        last,
    )
    return [Order(row["id"], row["status"], row["created_at"], _trace_id(row["traceparent"])) for row in rows]


async def fetch(place: Place, database: str, statement: str, *arguments: object) -> list[asyncpg.Record]:
    """Returns the rows of a query in the database of a service. Raises one of UNREACHABLE."""
    connection = await asyncpg.connect(place.database_url("auditor", database), timeout=5, command_timeout=10)
    try:
        rows: list[asyncpg.Record] = await connection.fetch(statement, *arguments)
        return rows
    finally:
        await connection.close()


def _trace_id(traceparent: str | None) -> str | None:
    return traceparent.split("-")[1] if traceparent else None
