"""Inbox: records which events a consumer has handled, in the transaction that handles them.

Brokers deliver at least once, so without an inbox a lost acknowledgement leads to a second charge.
`test_inbox.py` delivers every message twice.
"""

from collections.abc import Sequence
from typing import TypeVar

from chassis.db import Connection
from chassis.messages import Event, Message

__all__ = ["first_time", "insert"]

M = TypeVar("M", bound=Message)


def insert(first: int) -> str:
    """Returns the statement that records events as seen, and returns the IDs of those that were not.

    Of its two parameters, `first` is the number of the first: the consumer, and the events' IDs, sorted. A second
    transaction with one of the same events waits here for the first; since IDs are sorted, two cannot deadlock.
    """
    return (
        f"INSERT INTO inbox (consumer, event_id) SELECT ${first}, unnest(${first + 1}::uuid[])"
        " ON CONFLICT DO NOTHING RETURNING event_id"
    )


INSERT = insert(1)


async def first_time(tx: Connection, consumer: str, events: Sequence[Event[M]]) -> list[Event[M]]:
    """Returns the events that this consumer has not seen before, in their order, and records them as seen."""
    new = {row["event_id"] for row in await tx.fetch(INSERT, consumer, sorted({event.id for event in events}))}
    fresh = []
    for event in events:
        if event.id in new:
            new.discard(event.id)
            fresh.append(event)
    return fresh
