"""Queries of the back office: all products, the hidden ones too, and the history of a product's stock."""

from dataclasses import dataclass
from typing import Any

from catalog.models import ManagedProduct, fold
from catalog.repository.products import SHOWN, shown
from chassis.db import Connection

__all__ = ["Asked", "find", "get", "history"]

_MANAGED = f"SELECT {SHOWN}, s.held, s.sold, p.hidden, p.version FROM products AS p JOIN stock AS s ON s.sku = p.sku"  # noqa: S608

RECENT_LINES = 10_000
"""How many of the newest order lines a history looks at: an index by SKU would cost each order."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A search: `q` is part of a SKU or of a name, and fewer than `below` are available.

    Products are sorted by SKU, or from the least available one. The latter has no index: each reservation would have to
    update it.
    """

    q: str = ""
    hidden: bool | None = None
    below: int | None = None
    by_available: bool = False


async def find(
    connection: Connection, asked: Asked, cursor: str | None, limit: int
) -> tuple[list[ManagedProduct], str | None]:
    """Returns a page of products, and the cursor of the next page: its last SKU, such as `MUG-1`, or `3:MUG-1`."""
    conditions, arguments = ["true"], list[Any]()

    def bind(value: object) -> str:
        arguments.append(value)
        return f"${len(arguments)}"

    if asked.q:
        sku, name = bind(f"{_literal(asked.q.upper())}%"), bind(f"%{_literal(fold(asked.q))}%")
        conditions.append(f"(p.sku LIKE {sku} OR p.folded_name LIKE {name})")
    if asked.hidden is not None:
        conditions.append(f"p.hidden = {bind(asked.hidden)}")
    if asked.below is not None:
        conditions.append(f"s.available < {bind(asked.below)}")
    if cursor is not None:
        available, _, sku = cursor.rpartition(":")
        after = f"(s.available, p.sku) > ({bind(int(available))}, {bind(sku)})" if available else f"p.sku > {bind(sku)}"
        conditions.append(after)
    order = "s.available, p.sku" if asked.by_available else "p.sku"
    rows = await connection.fetch(
        f"{_MANAGED} WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT {bind(limit + 1)}", *arguments
    )
    items = [_managed(row) for row in rows[:limit]]
    if len(rows) == len(items):
        return items, None
    return items, f"{items[-1].available}:{items[-1].sku}" if asked.by_available else items[-1].sku


async def get(connection: Connection, sku: str) -> tuple[ManagedProduct, int] | None:
    """Returns a product, hidden or not, and its version."""
    row = await connection.fetchrow(f"{_MANAGED} WHERE p.sku = $1", sku)
    return None if row is None else (_managed(row), row["version"])


async def history(connection: Connection, sku: str, limit: int) -> list[dict[str, Any]]:
    """Returns the newest restocks, and reservations among the newest order lines, newest first."""
    rows = await connection.fetch(
        "(SELECT 'restock' AS kind, id, quantity, NULL AS state, created_at AS at FROM restocks WHERE sku = $1"
        "  ORDER BY created_at DESC LIMIT $2)"
        " UNION ALL"
        " (SELECT 'reservation', r.order_id::text, l.quantity, r.state, r.created_at FROM"
        "  (SELECT order_id, sku, quantity FROM reservation_lines ORDER BY order_id DESC LIMIT $3) AS l"
        "  JOIN reservations AS r ON r.order_id = l.order_id WHERE l.sku = $1 ORDER BY r.order_id DESC LIMIT $2)"
        " ORDER BY at DESC, id LIMIT $2",
        sku,
        limit,
        RECENT_LINES,
    )
    return [dict(row) for row in rows]


def _literal(text: str) -> str:
    """Escapes the characters that have a meaning in LIKE."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _managed(row: Any) -> ManagedProduct:
    product = shown(row)
    fields = {name: getattr(product, name) for name in product.__struct_fields__}
    return ManagedProduct(**fields, hidden=row["hidden"], held=row["held"], sold=row["sold"])
