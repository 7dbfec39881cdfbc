"""All queries of psp, and the only SQLite connection, which all requests share by group commit."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from psp.models import Entry, Kind, Refusal, Status

Tx: TypeAlias = sqlite3.Connection
T = TypeVar("T")

MAX_BATCH = 256
BUSY_TIMEOUT = 1.0
RECOVERED_ENTRIES = 5_000

COLUMNS = "id, kind, key, fingerprint, charge_id, order_id, amount, currency, status, reason, at"
SELECT = f"SELECT seq, {COLUMNS} FROM entries"  # noqa: S608
SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL UNIQUE,
    fingerprint BLOB NOT NULL,
    charge_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    at INTEGER NOT NULL -- milliseconds since 1970, UTC
) STRICT;
CREATE INDEX IF NOT EXISTS entries_by_order ON entries (order_id);
CREATE INDEX IF NOT EXISTS entries_by_charge ON entries (charge_id);
CREATE TABLE IF NOT EXISTS webhooks (
    seq INTEGER PRIMARY KEY REFERENCES entries (seq),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS webhooks_due ON webhooks (next_attempt_at);
"""


class Store:
    """The only connection. Requests that arrive while a commit waits for the disk share the next commit.

    Statements only touch memory and run on the event loop. The commit waits for the disk and runs in a thread.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT)
        self._connection.executescript(SCHEMA)
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit")
        self._waiting: list[tuple[Callable[[Tx], Any], asyncio.Future[Any]]] = []
        self._committer: asyncio.Task[None] | None = None

    async def run(self, job: Callable[[Tx], T]) -> T:
        """Runs the job in a transaction, and returns its result once it is on disk.

        A job may raise `Refusal` before it has written. Any other error rolls the whole batch back, and every caller in
        the batch gets that error. Nothing is stored then, so the caller may try again.
        """
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, result))
        if self._committer is None or self._committer.done():
            self._committer = asyncio.create_task(self._commit_all())
        return await result

    async def close(self) -> None:
        if self._committer is not None:
            await self._committer
        self._disk.shutdown()
        self._connection.close()

    async def _commit_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            outcomes: list[Any] = []
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                outcomes = [_outcome(job, self._connection) for job, _ in batch]
                await asyncio.get_running_loop().run_in_executor(self._disk, self._connection.commit)
            except Exception as error:  # each of them raises it
                if self._connection.in_transaction:
                    self._connection.rollback()
                outcomes = [error] * len(batch)
            for (_, result), outcome in zip(batch, outcomes, strict=True):
                if result.done():  # its caller has gone
                    continue
                if isinstance(outcome, Exception):
                    result.set_exception(outcome)
                else:
                    result.set_result(outcome)


def _outcome(job: Callable[[Tx], T], tx: Tx) -> T | Refusal:
    try:
        return job(tx)
    except Refusal as refusal:
        return refusal


def append(tx: Tx, entry: Entry) -> None:
    tx.execute(
        f"INSERT INTO entries ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (
            entry.id,
            entry.kind.value,
            entry.key,
            entry.fingerprint,
            entry.charge_id,
            entry.order_id,
            entry.amount,
            entry.currency,
            entry.status.value,
            entry.reason,
            _milliseconds(entry.at),
        ),
    )


def entry_by_key(tx: Tx, key: str) -> Entry | None:
    row = tx.execute(SELECT + " WHERE key = ?", (key,)).fetchone()
    return None if row is None else _entry(row)


def charges_of_order(tx: Tx, order_id: str) -> list[Entry]:
    """Returns its charges, oldest first, including failed ones."""
    rows = tx.execute(SELECT + " WHERE order_id = ? AND kind = ? ORDER BY seq", (order_id, Kind.CHARGE))
    return [_entry(row) for row in rows]


def charge_by_id(tx: Tx, charge_id: str) -> Entry | None:
    row = tx.execute(SELECT + " WHERE charge_id = ? AND kind = ?", (charge_id, Kind.CHARGE)).fetchone()
    return None if row is None else _entry(row)


def refunded(tx: Tx, charge_id: str) -> int:
    """Returns how much of a charge has been refunded, in minor units."""
    (total,) = tx.execute(
        "SELECT coalesce(sum(amount), 0) FROM entries WHERE charge_id = ? AND kind = ?", (charge_id, Kind.REFUND)
    ).fetchone()
    return int(total)


def ledger(tx: Tx, after: int, limit: int) -> list[tuple[int, Entry]]:
    """Returns captures and refunds in order, each with its `seq`, beginning after `after`."""
    rows = tx.execute(
        SELECT + " WHERE seq > ? AND status = ? ORDER BY seq LIMIT ?",
        (after, Status.SUCCEEDED, limit),
    )
    return [(row[0], _entry(row)) for row in rows]


def queue_webhook(tx: Tx, key: str, due_at: datetime) -> None:
    """Queues a webhook for the result under a key, unless one is queued."""
    tx.execute(
        "INSERT INTO webhooks (seq, next_attempt_at) SELECT seq, ? FROM entries WHERE key = ?"
        " ON CONFLICT (seq) DO NOTHING",
        (_milliseconds(due_at), key),
    )


def queue_webhooks_of_order(tx: Tx, order_id: str, due_at: datetime) -> int:
    """Queues a webhook for every result of an order, even if one was sent. Returns the number of results."""
    return tx.execute(
        "INSERT INTO webhooks (seq, next_attempt_at) SELECT seq, ? FROM entries WHERE order_id = ?"
        " ON CONFLICT (seq) DO UPDATE SET attempts = 0, next_attempt_at = excluded.next_attempt_at",
        (_milliseconds(due_at), order_id),
    ).rowcount


def queue_last_webhooks(tx: Tx, window: timedelta, due_at: datetime) -> None:
    """Queues webhooks for the newest result and for those within `window` before it."""
    tx.execute(
        "INSERT INTO webhooks (seq, next_attempt_at)"
        " SELECT e.seq, ? FROM entries e, (SELECT seq, at FROM entries ORDER BY seq DESC LIMIT 1) newest"
        " WHERE e.seq > newest.seq - ? AND e.at > newest.at - ?"
        " ON CONFLICT (seq) DO NOTHING",
        (_milliseconds(due_at), RECOVERED_ENTRIES, window // timedelta(milliseconds=1)),
    )


def advance_webhooks(tx: Tx, latest: datetime, due_at: datetime) -> None:
    """Makes the webhooks that wait until after `latest` due at `due_at`."""
    tx.execute(
        "UPDATE webhooks SET next_attempt_at = ? WHERE next_attempt_at > ?",
        (_milliseconds(due_at), _milliseconds(latest)),
    )


def due_webhooks(tx: Tx, now: datetime, limit: int) -> list[tuple[int, int, Entry]]:
    """Returns `(seq, attempts so far, entry)` of due webhooks, the longest due first."""
    rows = tx.execute(
        f"SELECT attempts, seq, {COLUMNS} FROM webhooks JOIN entries USING (seq)"  # noqa: S608
        " WHERE next_attempt_at <= ? ORDER BY next_attempt_at LIMIT ?",
        (_milliseconds(now), limit),
    )
    return [(row[0], attempts, _entry(row)) for attempts, *row in rows]


def forget_webhook(tx: Tx, seq: int, due_at: datetime) -> None:
    """Ends the delivery of a webhook that was due at `due_at`, unless it has been queued again since."""
    tx.execute("DELETE FROM webhooks WHERE seq = ? AND next_attempt_at <= ?", (seq, _milliseconds(due_at)))


def postpone_webhook(tx: Tx, seq: int, until: datetime) -> None:
    tx.execute(
        "UPDATE webhooks SET attempts = attempts + 1, next_attempt_at = ? WHERE seq = ?",
        (_milliseconds(until), seq),
    )


def _entry(row: Any) -> Entry:
    _, id_, kind, key, print_, charge_id, order_id, amount, currency, status, reason, at = row
    return Entry(
        id=id_,
        kind=Kind(kind),
        key=key,
        fingerprint=print_,
        charge_id=charge_id,
        order_id=order_id,
        amount=amount,
        currency=currency,
        status=Status(status),
        reason=reason,
        at=datetime.fromtimestamp(at / 1000, UTC),
    )


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
