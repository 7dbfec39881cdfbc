"""Transactional outbox: a message is a row, written in the transaction that causes it.

A crash between commit and publishing would lose messages; a message that is published before the commit may announce a
change that never happens. A row in the same transaction avoids both, and the relay publishes it afterwards.
`test_relay.py` kills the process in between.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from chassis import tracing
from chassis.db import Connection
from chassis.messages import Message

__all__ = ["Draft", "Row", "columns", "drafts", "given", "insert", "insert_from", "left", "put"]


class Draft(NamedTuple):
    """A message before it is stored. `data` is JSON."""

    routing_key: str
    subject: str
    data: str
    traceparent: str | None


class Row(NamedTuple):
    """A message in the outbox."""

    id: UUID
    routing_key: str
    subject: str
    data: str
    traceparent: str | None


def insert(first: int) -> str:
    """Returns the statement that stores drafts and returns their IDs; `first` is as in `given`."""
    return f"{insert_from(given(first))} RETURNING id"


def given(first: int) -> str:
    """Returns drafts as rows for `insert_from`.

    They are the `columns` of the drafts in four parameters, of which `first` is the number of the first one.
    """
    arrays = ", ".join(f"${n}::text[]" for n in range(first, first + 4))
    return f"unnest({arrays}) WITH ORDINALITY AS t (key, subject, data, trace, n)"


def insert_from(rows: str) -> str:
    """Returns the statement that stores messages.

    `rows` follows FROM, and has the columns `key`, `subject`, `data`, `trace`, and `n`, the number of the row from 1.

    The IDs are UUIDv7 from the database's clock, one microsecond apart, and ascend with `n`. If they came from
    processes' clocks, a process with a wrong clock would publish its messages before or after all others, and an ID
    would not show a message's age.
    """
    return f"""
INSERT INTO outbox (id, routing_key, subject, data, traceparent)
SELECT encode(
           int8send((us / 1000 << 16) | x'7000'::bigint | (us % 1000 * 4096 / 1000))
           || substring(uuid_send(gen_random_uuid()) FROM 9),
           'hex'
       )::uuid,
       key, subject, data::json, trace
FROM (
    SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::bigint + n AS us, key, subject, data, trace
    FROM {rows}
) AS rows
"""  # noqa: S608


INSERT = insert(1)


async def put(
    tx: Connection, messages: Iterable[tuple[UUID, Message]], traceparents: Mapping[UUID, str | None] | None = None
) -> None:
    """Stores messages in this transaction, in one statement; for the arguments, see `drafts`."""
    if new := drafts(messages, traceparents):
        left(tx, new, [row["id"] for row in await tx.fetch(INSERT, *columns(new))])


def drafts(
    messages: Iterable[tuple[UUID, Message]], traceparents: Mapping[UUID, str | None] | None = None
) -> list[Draft]:
    """Returns the drafts of (subject, message) pairs.

    A message continues the trace of the event with its subject that is being processed. If that has none, or there is
    none, it continues the trace that `traceparents` gives for its subject. Without `traceparents`, a message that no
    event causes continues the current trace.
    """
    return [
        Draft(message.type, str(subject), msgspec.json.encode(message).decode(), _trace(subject, traceparents))
        for subject, message in messages
    ]


def columns(drafts: Sequence[Draft]) -> Sequence[Sequence[str | None]]:
    """Returns the parameters of `insert`: the routing keys, subjects, data and traceparents."""
    return list(zip(*drafts, strict=True)) or [(), (), (), ()]


def left(tx: Connection, drafts: Sequence[Draft], ids: Iterable[UUID]) -> None:
    """Notes the drafts that a statement of `tx` has stored under these IDs. The relay gets them after the commit.

    The IDs of one statement ascend in the order of the drafts.
    """
    tx.left_messages += [Row(id, *draft) for id, draft in zip(sorted(ids), drafts, strict=True)]


def _trace(subject: UUID, traceparents: Mapping[UUID, str | None] | None) -> str | None:
    if caused := tracing.traceparent_of(str(subject)):
        return caused
    if traceparents is not None:
        return traceparents.get(subject)
    return None if tracing.is_processed(str(subject)) else tracing.traceparent()
