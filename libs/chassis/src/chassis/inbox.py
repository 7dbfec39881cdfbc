"""Inbox: records which events a consumer has handled, in the transaction that handles them.

Brokers deliver at least once, so without an inbox a lost acknowledgement leads to a second charge.
`test_inbox.py` delivers every message twice.
"""

from collections.abc import Sequence
from typing import TypeVar

from chassis.db import Connection
from chassis.messages import Event, Message

__all__ = ["first_time"]

M = TypeVar("M", bound=Message)


async def first_time(tx: Connection, consumer: str, events: Sequence[Event[M]]) -> list[Event[M]]:
    """Returns the events that this consumer has not seen before, in their order, and records them as seen.

    A second transaction with one of the same events waits here for the first; IDs are sorted to prevent deadlocks.
    """
    new = {
        row["event_id"]
        for row in await tx.fetch(
            "INSERT INTO inbox (consumer, event_id) SELECT $1, unnest($2::uuid[])"
            " ON CONFLICT DO NOTHING RETURNING event_id",
            consumer,
            sorted({event.id for event in events}),
        )
    }
    fresh = []
    for event in events:
        if event.id in new:
            new.discard(event.id)
            fresh.append(event)
    return fresh
