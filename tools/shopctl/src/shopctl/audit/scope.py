"""What an audit looks at: everything, or what has changed since an earlier one, in pages that fit into memory."""

import asyncio
import contextlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from chassis.ids import floor
from shopctl.audit.sources import Database, Sources
from shopctl.statuses import OPEN, UNDOING

__all__ = ["Page", "Scope", "ids", "last_passed", "scope_of"]

SIZE = 10_000
"""The most orders, reservations or payments in a page."""
EVENTS = 50_000
"""The most events of a database in a page."""
OVERLAP = timedelta(hours=1)
"""How much of what the last audit has seen is looked at again: it took a while, and clocks differ."""

IN_PAGES = ("A2", "A3", "A6", "A8", "A9")
"""The invariants that look at pages. The others are about the whole, or about this moment."""
LAST = """
SELECT CASE WHEN count(*) = $2 AND bool_and(findings = 0) THEN min(at) END
FROM audit_results WHERE invariant = ANY ($1::text[])
"""

OLDER = "SELECT EXISTS (SELECT FROM outbox_archive WHERE id < $1)"

ORDERS = "SELECT id FROM orders WHERE id >= $1 ORDER BY id OFFSET $2 LIMIT 1"
RESERVATIONS = "SELECT order_id FROM reservations WHERE order_id >= $1 ORDER BY order_id OFFSET $2 LIMIT 1"
PAYMENTS = "SELECT order_id FROM payments WHERE order_id >= $1 ORDER BY order_id OFFSET $2 LIMIT 1"
ARCHIVED = "SELECT id FROM outbox_archive WHERE id >= $1 ORDER BY id OFFSET $2 LIMIT 1"
HANDLED = "SELECT event_id FROM inbox WHERE consumer = '{}' AND event_id >= $1 ORDER BY event_id OFFSET $2 LIMIT 1"

# An order changes only by messages: those that it gets, and those that it sends.
CHANGED = """
SELECT DISTINCT subject FROM (
    SELECT id, subject FROM outbox_archive UNION ALL SELECT id, subject FROM outbox
) AS message WHERE id >= $1 AND subject COLLATE "C" < $2
"""
UNSETTLED = "SELECT id::text FROM orders WHERE status IN ('{}') AND id < $1".format("', '".join((*OPEN, *UNDOING)))  # noqa: S608
UNDECIDED = "SELECT order_id::text FROM payments WHERE next_attempt_at IS NOT NULL AND order_id < $1"


@dataclass(frozen=True)
class Page:
    """Rows whose ID meets a condition, in SQL; `{0}` in it stands for the column."""

    condition: str

    def of(self, column: str) -> str:
        return self.condition.format(column)

    @classmethod
    def range(cls, low: UUID | None, high: UUID | None) -> "Page":
        """IDs from `low` on and below `high`; None is no limit."""
        limits = [f"{{0}} {sign} '{id}'" for sign, id in ((">=", low), ("<", high)) if id is not None]
        return cls(" AND ".join(limits) or "true")

    @classmethod
    def some(cls, ids: Collection[UUID]) -> "Iterator[Page]":
        """Yield pages with these IDs."""
        rest = sorted(ids)
        while rest:
            page, rest = rest[:SIZE], rest[SIZE:]
            yield cls("{{0}} IN ('{}')".format("', '".join(map(str, page))))


@dataclass(frozen=True)
class Scope:
    """The pages of orders and of events. `changed` are the orders from before `since` that may have changed since."""

    orders: Sequence[Page]
    events: Sequence[Page]
    since: datetime | None = None
    changed: frozenset[UUID] = frozenset()


async def last_passed(sources: Sources) -> datetime | None:
    """Return from when on an audit has to look if it continues the last one; None if it has to look at everything.

    The order service keeps the result of the last audit. If that found nothing wrong, what had ended an hour before is
    final. Otherwise, or if there was none, or if messages since then have been pruned, nothing is.
    """
    last: datetime | None = await sources.order.fetchval(LAST, IN_PAGES, len(IN_PAGES))
    if last is None or not await sources.order.fetchval(OLDER, floor(last - OVERLAP)):
        return None
    return last - OVERLAP


async def scope_of(sources: Sources, since: datetime | None) -> Scope:
    """Return the scope of an audit of what has changed since then, or of everything.

    Orders change only by messages. So of the orders from before `since`, those are looked at that are not settled, and
    those that later messages are about. Somebody who edits older rows leaves no message; only an audit of everything
    finds that.
    """
    if since is None:
        return Scope(await _orders(sources, None), await _events(sources, None))
    first = floor(since)
    rows = [*await sources.order.fetch(UNSETTLED, first), *await sources.payment.fetch(UNDECIDED, first)]
    for name in sources.services.outboxes:
        rows += await sources.databases[name].fetch(CHANGED, first, str(first))
    changed = frozenset(ids(row[0] for row in rows))
    return Scope(
        orders=[*Page.some(changed), *await _orders(sources, first)],
        events=await _events(sources, first),
        since=since,
        changed=changed,
    )


def ids(texts: Iterable[str]) -> Iterator[UUID]:
    """Yield those of the texts that are UUIDs."""
    for each in texts:
        with contextlib.suppress(ValueError):
            yield UUID(each)


async def _orders(sources: Sources, first: UUID | None) -> list[Page]:
    tables = [(sources.order, ORDERS), (sources.catalog, RESERVATIONS), (sources.payment, PAYMENTS)]
    return await _pages(tables, first, SIZE)


async def _events(sources: Sources, first: UUID | None) -> list[Page]:
    tables = [(sources.databases[name], ARCHIVED) for name in sources.services.outboxes]
    tables += [(sources.databases[name], HANDLED.format(name)) for name in sources.services.inboxes]
    return await _pages(tables, first, EVENTS)


async def _pages(tables: Sequence[tuple[Database, str]], first: UUID | None, size: int) -> list[Page]:
    """Divide the IDs from `first` on, so that no page has more than `size` rows of a table."""
    pages: list[Page] = []
    low = first
    while True:
        ends = await asyncio.gather(*(table.fetchval(end, low or UUID(int=0), size) for table, end in tables))
        high = min((UUID(str(end)) for end in ends if end is not None), default=None)
        pages.append(Page.range(low, high))
        if high is None:
            return pages
        low = high
