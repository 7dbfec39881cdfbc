"""The steps of an order from the databases: its statuses, and below each the messages sent while it had this status.

All services that publish keep their messages in `outbox_archive`, and consumers note in `inbox` when they began to
handle one. An ID tells when a message was written. So this works without any trace.

The archive does not tell exactly when a message was published: the relay archives it up to half a second later.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from chassis.ids import created_at, floor
from shopctl.place import Place
from shopctl.statuses import OPEN, UNDOING
from shopctl.trace.order import Order, fetch
from shopctl.trace.tree import Step
from shopctl.units import seconds

__all__ = ["steps"]

MARGIN = timedelta(minutes=10)
"""By how much the clock that made the order's ID may differ from the database's."""
STATUSES = "SELECT status, reason, at FROM order_history WHERE order_id = $1 ORDER BY seq"
MESSAGES = """
SELECT id, routing_key, published_at FROM outbox_archive WHERE subject = $1 AND id > $2 AND id < $3
UNION ALL SELECT id, routing_key, NULL FROM outbox WHERE subject = $1 ORDER BY id
"""
RECEIVED = "SELECT event_id, received_at FROM inbox WHERE consumer = $1 AND event_id = ANY ($2)"
LAST = UUID(int=2**128 - 1)
LONG = 1.0
"""Seconds until a message was archived that are worth a line, because it must have waited in the outbox."""


@dataclass(frozen=True)
class Sent:
    """One message: when it was written and archived, and when consumers with a database began to handle it."""

    sender: str
    type: str
    consumers: Sequence[str]
    written: float
    archived: float | None
    handled: Sequence[float]

    def step(self) -> Step:
        published = min([self.archived or self.written, *self.handled])
        end = max([published, *self.handled])
        waited = published - self.written
        note = "not published yet" if self.archived is None else ""
        if waited > LONG:
            note = f"waited {seconds(waited)} in the outbox"
        name = f"→ {', '.join(self.consumers)}: {self.type}"
        return Step(self.sender, name, published, end, waited_since=self.written, note=note)


async def steps(place: Place, order: Order) -> list[Step]:
    """Returns one step for each status of the order. Raises one of UNREACHABLE."""
    services = place.services
    rows = await fetch(place, "order", STATUSES, order.id)
    begin = floor(order.created_at - MARGIN)
    settled = rows[-1]["status"] not in (*OPEN, *UNDOING)  # no message follows
    end = floor(rows[-1]["at"] + MARGIN) if settled else LAST
    found = await asyncio.gather(
        *(fetch(place, name, MESSAGES, str(order.id), begin, end) for name in services.outboxes)
    )
    ids = [row["id"] for messages in found for row in messages]
    received: dict[UUID, list[float]] = {}
    for inbox in await asyncio.gather(*(fetch(place, name, RECEIVED, name, ids) for name in services.inboxes)):
        for row in inbox:
            received.setdefault(row["event_id"], []).append(row["received_at"].timestamp())
    messages = [
        Sent(
            name,
            row["routing_key"],
            services.consumers_of(row["routing_key"]),
            _precisely(row["id"]).timestamp(),
            row["published_at"].timestamp() if row["published_at"] else None,
            received.get(row["id"], []),
        )
        for name, of_service in zip(services.outboxes, found, strict=True)
        for row in of_service
    ]
    messages.sort(key=lambda each: each.written)
    return _by_status(rows, messages)


def _by_status(rows: Sequence[asyncpg.Record], messages: Sequence[Sent]) -> list[Step]:
    starts = [row["at"].timestamp() for row in rows]
    ends = [*starts[1:], float("inf")]
    found = []
    for index, (row, start, end) in enumerate(zip(rows, starts, ends, strict=True)):
        # What is written with the first status may have an earlier time: a statement before, or another clock.
        mine = [each.step() for each in messages if (index == 0 or each.written >= start) and each.written < end]
        found.append(Step("order", row["status"], start, start, note=row["reason"] or "", children=mine))
    return found


def _precisely(id: UUID) -> datetime:
    """When an ID was made, with the fraction of a millisecond that its database adds."""
    return created_at(id) + timedelta(milliseconds=(id.int >> 64 & 0xFFF) / 4096)
