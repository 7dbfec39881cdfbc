"""Inbox: which events this consumer has handled already, kept in the transaction that handles them.

Brokers deliver at least once, so a handler without this charges twice after a lost acknowledgement.
`test_messaging.py` delivers every message twice.
"""

from collections.abc import Sequence
from typing import TypeVar

from chassis.db import Connection
from chassis.messages import Event, Message

__all__ = ["first_time"]

M = TypeVar("M", bound=Message)


async def first_time(tx: Connection, consumer: str, events: Sequence[Event[M]]) -> list[Event[M]]:
    """The events that this consumer sees for the first time, in their order; records them as seen.

    A second transaction with one of the same events waits here for the first, so ids go in sorted (no deadlock).
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
