"""A4, A5, A8 and A10: no order is lost, duplicated, stuck or changed in the past; no transaction is idle."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import msgspec

from shopctl.audit.finding import Finding
from shopctl.audit.sources import Sources, Unreadable
from shopctl.statuses import LEGAL, OPEN

__all__ = ["Attempt", "a4", "a5", "a8", "a10", "read_attempts", "read_ids"]

SAMPLE = 200
LAST_SECOND = 253_402_300_799  # the last second of the year 9999

HISTORY = """
SELECT o.id, coalesce(count(h.seq) <> o.seq OR min(h.seq) <> 1 OR max(h.seq) <> o.seq, true) AS gap,
    (array_agg(h.status ORDER BY h.seq DESC))[1] IS DISTINCT FROM o.status AS differs
FROM orders o LEFT JOIN order_history h ON h.order_id = o.id GROUP BY o.id
"""

STEPS = """
SELECT before, status, count(*) AS times, min(order_id::text) AS example FROM (
    SELECT order_id, lag(status) OVER (PARTITION BY order_id ORDER BY seq) AS before, status,
        lag(seq, 1, 0) OVER (PARTITION BY order_id ORDER BY seq) = seq - 1 AS adjacent
    FROM order_history
) AS step WHERE adjacent GROUP BY before, status
"""

VIEWS = """
SELECT id, status, total, currency, lines::text,
    (SELECT json_agg(json_build_array(seq, status, reason) ORDER BY seq) FROM order_history
     WHERE order_id = id)::text AS history
FROM orders ORDER BY md5(id::text) LIMIT $1
"""


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


def read_attempts(*places: Path) -> list[Attempt]:
    """Read files of attempts, and folders with files `attempts*.jsonl`.

    A client may write an attempt before it is sent and again, with the same key and time, after the answer: that is one
    attempt. Raises Unreadable with the number of an invalid line, or if a folder has no such file.
    """
    attempts: list[Attempt] = []
    for place in places:
        files = sorted(place.glob("attempts*.jsonl")) if place.is_dir() else [place]
        if not files:
            raise Unreadable(f"{place} has no file attempts*.jsonl")
        for file in files:
            attempts += _read(file)
    return attempts


def _read(file: Path) -> list[Attempt]:
    decoder = msgspec.json.Decoder(Attempt)
    attempts: list[Attempt] = []
    sent: dict[tuple[str, float], int] = {}
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
                sent[each.key, each.at] = len(attempts)
            elif each.at is not None and (before := sent.pop((each.key, each.at), None)) is not None:
                attempts[before] = each
                continue
            attempts.append(each)
    return attempts


def read_ids(file: Path) -> set[str]:
    """Read a file of IDs. Raises Unreadable."""
    try:
        return set(file.read_text(encoding="utf-8").split())
    except UnicodeDecodeError as error:
        raise Unreadable(f"{file} is not a text file with one ID per line") from error


async def a4(sources: Sources, attempts: Sequence[Attempt] | None) -> Finding:
    """Compare orders with attempts, if there are any.

    Orders from before the `at` of the first attempt need none. Whether an order was lost does not depend on time, as
    the clocks of client and database may differ.
    """
    finding = Finding("A4", "attempts: each acknowledged POST has one order, each order has an attempt")
    if attempts is None:
        return finding
    since = min((each.at or 0 for each in attempts), default=0)
    acknowledged = [each for each in attempts if each.status == 202]
    orders: dict[str, list[asyncpg.Record]] = defaultdict(list)
    for row in await sources.order.fetch(
        "SELECT id, idempotency_key, request_hash FROM orders"
        " WHERE created_at >= $1 OR idempotency_key = ANY ($2::text[])",
        datetime.fromtimestamp(since, UTC),
        [each.key for each in acknowledged],
    ):
        orders[row["idempotency_key"]].append(row)
    finding.counts |= {
        "attempts": len(attempts),
        "acknowledged": len(acknowledged),
        "orders": sum(map(len, orders.values())),
    }
    for each in acknowledged:
        match orders.get(each.key, []):
            case []:
                finding.blame("acknowledged, but lost", [each.key])
            case [one]:
                if each.request_hash not in (None, one["request_hash"]):
                    finding.blame("the body differs", [each.key])
                if each.order_id and one["id"] != each.order_id:
                    finding.blame("order ID differs from the answer", [each.key])
    finding.blame("several orders for one key", (key for key, found in orders.items() if len(found) > 1))
    finding.blame("order without an attempt", orders.keys() - {each.key for each in attempts})
    return finding


async def a5(sources: Sources) -> Finding:
    finding = Finding("A5", "expiry: no order is open more than a minute past its expiry")
    rows = await sources.order.fetch(
        "SELECT id, expires_at < now() - interval '1 minute' AS late FROM orders WHERE status = ANY ($1::text[])",
        OPEN,
    )
    finding.counts["open orders"] = len(rows)
    finding.blame("open past its expiry", (row["id"] for row in rows if row["late"]))
    return finding


async def a8(sources: Sources) -> Finding:
    finding = Finding("A8", "history: no gaps, only legal steps; HTTP returns what the database holds")
    rows = await sources.order.fetch(HISTORY)
    finding.blame("history has gaps", (row["id"] for row in rows if row["gap"]))
    finding.blame("status differs from its history", (row["id"] for row in rows if row["differs"] and not row["gap"]))
    steps: Counter[bool] = Counter()
    for step in await sources.order.fetch(STEPS):
        legal = step["status"] in LEGAL.get(step["before"], ())
        steps[legal] += step["times"]
        if not legal:
            finding.blame(f"{step['before']} → {step['status']}", [step["example"]])
    sample = {str(row["id"]): row for row in await sources.order.fetch(VIEWS, SAMPLE)}
    for view in await sources.views(sample):
        if _shown(view) != _stored(sample[view["id"]]):
            finding.blame("HTTP returns something else", [view["id"]])
    finding.counts |= {"orders": len(rows), "steps": steps.total(), "read over HTTP": len(sample)}
    return finding


def _shown(view: dict[str, Any]) -> tuple[object, ...]:
    history = [[step["seq"], step["status"], step.get("reason")] for step in view["history"]]
    return view["status"], view["total"], view["lines"], history


def _stored(row: asyncpg.Record) -> tuple[object, ...]:
    total = {"amount": row["total"], "currency": row["currency"]}
    return row["status"], total, msgspec.json.decode(row["lines"]), msgspec.json.decode(row["history"] or "[]")


async def a10(sources: Sources) -> Finding:
    finding = Finding("A10", "sessions: none idle in a transaction for more than 5 s")
    finding.counts["sessions"] = 0
    for connection in sources.databases.values():
        rows = await connection.fetch(
            "SELECT application_name || ' ' || pid AS session,"
            " state LIKE 'idle in transaction%' AND state_change < now() - interval '5 seconds' AS idle"
            " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        finding.counts["sessions"] += len(rows)
        finding.blame("idle in transaction", (row["session"] for row in rows if row["idle"]))
    return finding
