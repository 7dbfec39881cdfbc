"""The sandbox provider's ledger, by order: it comes in the order of its entries, which is another one."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, TypeAlias
from uuid import UUID

from chassis.ids import floor
from shopctl.audit.scope import Page, Scope, ids
from shopctl.audit.sources import Sources
from shopctl.audit.temporary import temporary

__all__ = ["Entry", "Ledger"]

SCHEMA = "CREATE TABLE entries (order_id TEXT, kind TEXT, amount INTEGER, currency TEXT)"
COLUMNS = ("order_id", "kind", "amount", "currency")
Entry: TypeAlias = tuple[str, str, int, str]
"""An order's ID, `capture` or `refund`, the amount in minor units, and its currency."""


class Ledger:
    """The entries that concern a scope."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator["Ledger"]:
        """Open an empty ledger in a temporary file."""
        with closing(temporary(SCHEMA)) as database:
            yield cls(database)

    async def read(self, sources: Sources, scope: Scope) -> frozenset[UUID]:
        """Read the entries; return the orders from before the scope that its new entries are about.

        Of older orders that may have changed, all entries are read. Raises one of UNREADABLE.
        """
        begin = 0 if scope.since is None else await sources.place_in_ledger(scope.since)
        async for page in sources.ledger(after=begin):
            self._add(page)
        found: frozenset[UUID] = frozenset()
        if scope.since is not None:
            first = str(floor(scope.since))
            rows = self._database.execute("DELETE FROM entries WHERE order_id < ? RETURNING order_id", (first,))
            found = frozenset(ids(row[0] for row in rows.fetchall()))
            old = sorted(found | scope.changed)
            for charges in await sources.charges(old):
                self._add(entry for charge in charges for entry in _entries(charge))
        self._database.execute("CREATE INDEX by_order ON entries (order_id)")
        return found

    def __len__(self) -> int:
        (count,) = self._database.execute("SELECT count(*) FROM entries").fetchone()
        return int(count)

    def of(self, page: Page) -> list[Entry]:
        """Return the entries of a page of orders."""
        return self._database.execute(
            f"SELECT order_id, kind, amount, currency FROM entries WHERE {page.of('order_id')}"  # noqa: S608
        ).fetchall()

    def _add(self, entries: Iterable[Mapping[str, Any]]) -> None:
        rows = (tuple(map(each.__getitem__, COLUMNS)) for each in entries)
        self._database.executemany("INSERT INTO entries (order_id, kind, amount, currency) VALUES (?, ?, ?, ?)", rows)


def _entries(charge: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the entries that a charge has in the ledger; several refunds count as one."""
    if charge["status"] == "succeeded":
        yield {**charge, "kind": "capture"}
    if charge["refunded"]:
        yield {**charge, "kind": "refund", "amount": charge["refunded"]}
