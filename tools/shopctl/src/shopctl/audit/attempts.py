"""A4: no order is lost or made twice, compared with what the clients were told."""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import msgspec

from shopctl.audit.finding import Finding
from shopctl.audit.sources import Sources, Unreadable
from shopctl.audit.temporary import temporary

__all__ = ["Attempt", "Journal", "a4", "read_attempts", "read_ids"]

LAST_SECOND = 253_402_300_799  # the last second of the year 9999
ROWS = 10_000
"""Orders that are in memory at a time."""
KEYS = 100_000
"""Keys that are in memory at a time. For each so many, PostgreSQL reads all orders: keys alone have no index."""

SINCE = "SELECT idempotency_key, request_hash, id::text FROM orders WHERE created_at >= $1"
BEFORE = (
    "SELECT idempotency_key, request_hash, id::text FROM orders"
    " JOIN unnest($2::text[]) AS known (key) ON idempotency_key = key WHERE created_at < $1"
)

SCHEMA = """
CREATE TABLE attempts (key TEXT, request_hash BLOB, order_id TEXT, acknowledged INTEGER, at REAL);
CREATE TABLE orders (key TEXT, request_hash BLOB, id TEXT);
"""
# Made after the rows, which takes less time; they have all columns, so that queries read keys in their order.
INDEX_ATTEMPTS = "CREATE INDEX attempts_by_key ON attempts (key, acknowledged, request_hash, order_id)"
INDEX_ORDERS = "CREATE INDEX orders_by_key ON orders (key, request_hash, id)"
DIFFERS = (
    "SELECT key FROM attempts a JOIN orders o USING (key) WHERE acknowledged AND {}"
    " AND (SELECT count(*) FROM orders other WHERE other.key = a.key) = 1"
)
WRONG = {
    "acknowledged, but lost": "SELECT key FROM attempts WHERE acknowledged AND key NOT IN (SELECT key FROM orders)",
    "the body differs": DIFFERS.format("a.request_hash <> o.request_hash"),
    "order ID differs from the answer": DIFFERS.format("order_id <> id"),
    "several orders for one key": "SELECT key FROM orders GROUP BY key HAVING count(*) > 1",
    "order without an attempt": "SELECT DISTINCT key FROM orders WHERE key NOT IN (SELECT key FROM attempts)",
}
"""Queries for the keys with a problem."""


class Attempt(msgspec.Struct):
    """One POST that a client made. `status` is null without an answer; `at` is in seconds since 1970, UTC.

    `body` is null if the client does not know it, such as for a page that orders: it is then not compared.
    """

    key: str
    body: dict[str, Any] | None
    status: int | None = None
    order_id: UUID | None = None
    at: Annotated[float, msgspec.Meta(ge=0, le=LAST_SECOND)] | None = None

    @property
    def request_hash(self) -> bytes | None:
        if self.body is None:
            return None
        return hashlib.sha256(msgspec.json.encode(self.body, order="sorted")).digest()


def read_attempts(*places: Path) -> Iterator[Attempt]:
    """Yield the attempts of files, and of the files `attempts*.jsonl` of folders.

    A client may write an attempt before it is sent and again, with the same key and time, after the answer: that is one
    attempt. Raises Unreadable with the number of an invalid line, or if a folder has no such file.
    """
    for place in places:
        files = sorted(place.glob("attempts*.jsonl")) if place.is_dir() else [place]
        if not files:
            raise Unreadable(f"{place} has no file attempts*.jsonl")
        for file in files:
            yield from _read(file)


def _read(file: Path) -> Iterator[Attempt]:
    decoder = msgspec.json.Decoder(Attempt)
    sent: dict[tuple[str, float], Attempt] = {}
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                each = decoder.decode(line) if line.strip() else None
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                wanted = 'each line is an attempt, such as {"key": "…", "body": {}, "status": 202}'
                raise Unreadable(f"{file}, line {number}: {error}; {wanted}") from error
            if each is None:
                continue
            if each.at is not None and each.status is None:
                sent[each.key, each.at] = each
                continue
            if each.at is not None:
                sent.pop((each.key, each.at), None)
            yield each
    yield from sent.values()


def read_ids(file: Path) -> set[str]:
    """Read a file of IDs. Raises Unreadable."""
    try:
        return set(file.read_text(encoding="utf-8").split())
    except UnicodeDecodeError as error:
        raise Unreadable(f"{file} is not a text file with one ID per line") from error


class Journal:
    """Attempts, and the orders to compare them with, in a temporary file."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    @classmethod
    @contextmanager
    def of(cls, attempts: Iterable[Attempt]) -> Iterator["Journal"]:
        """Open a journal with these attempts."""
        with closing(temporary(SCHEMA)) as database:
            database.executemany(
                "INSERT INTO attempts (key, request_hash, order_id, acknowledged, at) VALUES (?, ?, ?, ?, ?)",
                (
                    (each.key, each.request_hash, each.order_id and str(each.order_id), each.status == 202, each.at)
                    for each in attempts
                ),
            )
            database.execute(INDEX_ATTEMPTS)
            yield cls(database)

    def __len__(self) -> int:
        return self._number("SELECT count(*) FROM attempts")

    @property
    def acknowledged(self) -> int:
        return self._number("SELECT count(*) FROM attempts WHERE acknowledged")

    async def read_orders(self, sources: Sources) -> int:
        """Read the orders since the first attempt, and older ones with an acknowledged key; return their number."""
        (begin,) = self._database.execute("SELECT min(coalesce(at, 0)) FROM attempts").fetchone()
        since = datetime.fromtimestamp(begin or 0, UTC)
        self._database.executescript("DROP INDEX IF EXISTS orders_by_key; DELETE FROM orders;")
        async with sources.order.acquire() as connection, connection.transaction():
            cursor = await connection.cursor(SINCE, since)
            while rows := await cursor.fetch(ROWS):
                self._add(rows)
        keys = self._database.execute("SELECT DISTINCT key FROM attempts WHERE acknowledged")
        while some := keys.fetchmany(KEYS):
            self._add(await sources.order.fetch(BEFORE, since, [key for (key,) in some]))
        self._database.execute(INDEX_ORDERS)
        return self._number("SELECT count(*) FROM orders")

    def wrong(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each problem, with the keys that have it."""
        for how, query in WRONG.items():
            yield how, [key for (key,) in self._database.execute(query)]

    def _add(self, rows: Iterable[asyncpg.Record]) -> None:
        self._database.executemany("INSERT INTO orders (key, request_hash, id) VALUES (?, ?, ?)", map(tuple, rows))

    def _number(self, query: str) -> int:
        (number,) = self._database.execute(query).fetchone()
        return int(number)


async def a4(sources: Sources, journal: Journal | None) -> Finding:
    """Compare orders with attempts, if there are any.

    Orders from before the `at` of the first attempt need none. Whether an order was lost does not depend on time, as
    the clocks of client and database may differ.
    """
    finding = Finding("A4", "attempts: each acknowledged POST has one order, each order has an attempt")
    if journal is not None:
        orders = await journal.read_orders(sources)
        finding.counts |= {"attempts": len(journal), "acknowledged": journal.acknowledged, "orders": orders}
        for how, keys in journal.wrong():
            finding.blame(how, keys)
    return finding
