"""What orders make the shop do: wake-ups of processes, transactions and WAL of PostgreSQL, messages of RabbitMQ.

To wake a process that sleeps costs more CPU time than much of what it then does. PostgreSQL has a process for each
connection, so its wake-ups are the statements that it receives, and its waits for the disk.
"""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import asyncpg

from chassis.local.processes import Process
from shopctl.bench.client import LoadFailed
from shopctl.bench.usage import NOT_OURS
from shopctl.shop import Shop

__all__ = ["counted", "sleeps"]

REPORTED_WITHIN = 1.5
"""Seconds after which PostgreSQL's processes have reported what they counted; they do so once a second."""
STORED = (
    "SELECT sum(xact_commit)::bigint AS transactions, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint AS wal"
    " FROM pg_stat_database"
)


@contextlib.asynccontextmanager
async def counted(shop: Shop) -> AsyncIterator[dict[str, int]]:
    """Count inside the block. The result is complete when the block ends."""
    counts: dict[str, int] = {}
    stored, woken = await _stored(shop), _woken(shop)
    yield counts
    now = _woken(shop)
    counts |= {f"wake-ups of {name}": (now[name] - woken[name]).total() for name in now if name not in NOT_OURS}
    await asyncio.sleep(REPORTED_WITHIN)
    counts |= {name: number - stored[name] for name, number in (await _stored(shop)).items()}


async def _stored(shop: Shop) -> dict[str, int]:
    connection = await asyncpg.connect(shop.place.database_url("auditor", "order"))
    try:
        row = await connection.fetchrow(STORED)
    finally:
        await connection.close()
    assert row is not None
    said = await asyncio.to_thread(
        shop.execute, "rabbitmq", "rabbitmqctl", "eval", "rabbit_global_counters:overview()."
    )
    routed = re.search(r"messages_routed_total\s*=>\s*(\d+)", said)
    if routed is None:
        raise LoadFailed("RabbitMQ does not tell how many messages it has routed")
    return {"transactions": row["transactions"], "bytes of WAL": row["wal"], "messages": int(routed[1])}


def _woken(shop: Shop) -> dict[str, Counter[Path]]:
    return {name: sleeps(processes) for name, processes in shop.processes().items()}


def sleeps(processes: Iterable[Process]) -> Counter[Path]:
    """Return how often each thread of these processes and their descendants has slept, and was woken."""
    counts: Counter[Path] = Counter()
    for pid in (pid for process in processes for pid in process.family()):
        for thread in Path(f"/proc/{pid}/task").glob("*/status"):
            with contextlib.suppress(OSError):  # it has ended
                fields = dict(line.split(":", 1) for line in thread.read_text().splitlines())
                counts[thread] = int(fields["voluntary_ctxt_switches"])
    return counts
