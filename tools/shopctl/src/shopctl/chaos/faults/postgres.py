"""PostgreSQL without free sessions, and without room on its disk."""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg

from chassis.local.processes import Process, StartError, output
from shopctl.chaos import helpers, sessions
from shopctl.chaos.fault import Fault, State, Target
from shopctl.console import reason

__all__ = ["FAULTS"]

TIMEOUT = 30.0
ROOM = 64 * 1024
PAGE = 8192
POSITION = (
    "SELECT (pg_current_wal_insert_lsn() - '0/0') % setting::bigint, setting::bigint"
    " FROM pg_settings WHERE name = 'wal_segment_size'"
)


def _postgres(shop: Target) -> Sequence[str]:
    return ["postgres"]


def _holder(shop: Any, on: str) -> State:
    return {"process": f"sessions-{os.getpid()}-{time.monotonic_ns()}"}


def _exhaust(shop: Any, on: str, state: State) -> None:
    url = _url(shop)
    argv = (sys.executable, "-m", "shopctl.chaos.sessions")
    helpers.start(shop, state["process"], argv, "sessions", DATABASE_URL=url)
    _wait(url, taken=True)


def _give_back(shop: Any, on: str, state: State) -> None:
    if process := Process.load(file := helpers.pid_file(shop, state["process"])):
        process.stop(signal.SIGTERM)
    _wait(_url(shop), taken=False)
    file.unlink(missing_ok=True)


def _url(shop: Any) -> str:
    url: str = shop.place.database_url("auditor", shop.place.services.databases[0])
    return url


def _wait(url: str, *, taken: bool) -> None:
    deadline = time.monotonic() + TIMEOUT
    while asyncio.run(sessions.taken(url)) != taken:
        if time.monotonic() > deadline:
            raise StartError(f"PostgreSQL still {'permits' if taken else 'refuses'} sessions after {TIMEOUT:g} s.")
        time.sleep(0.1)


def _fill(shop: Any, on: str, state: State) -> None:
    """A process that may not write beyond a position in its files fails as on a full disk, with another message."""
    try:
        last = asyncio.run(_last(_url(shop)))
    except sessions.FAILURES as error:
        raise StartError(f"PostgreSQL does not say where it writes: {reason(error)}") from error
    if not _limit(shop, f"{last}"):
        raise StartError("No process of PostgreSQL could be limited.")


def _make_room(shop: Any, on: str, state: State) -> None:
    """Kills PostgreSQL, since it may not stop while it recovers from a crash."""
    shop.kill("postgres")
    shop.start("postgres")


async def _last(url: str) -> int:
    """Returns the position in a file of PostgreSQL's WAL that it soon reaches: each file has the same size."""
    connection = await asyncpg.connect(url, timeout=TIMEOUT)
    try:
        ((position, size),) = await connection.fetch(POSITION)
        return min(int(position) + ROOM, int(size) - PAGE)
    finally:
        await connection.close(timeout=TIMEOUT)


def _limit(shop: Any, size: str) -> int:
    """Limits the bytes in a file up to which the processes of PostgreSQL may write. Returns the number of processes.

    Their own user may do that, and root without further rights may not.
    """
    limited = 0
    for pid in [pid for server in shop.processes().get("postgres", ()) for pid in server.family()]:
        with suppress(FileNotFoundError, StartError):  # it may have ended
            owner = Path(f"/proc/{pid}").stat()
            argv = ["prlimit", f"--pid={pid}", f"--fsize={size}:"]  # with the colon only the soft limit
            output(*argv, user=owner.st_uid, group=owner.st_gid, timeout=5)
            limited += 1
    return limited


def _lacking(shop: Any) -> str | None:
    if shop.runtime == "compose" and os.geteuid() != 0:
        return "root"
    return None if shutil.which("prlimit") else "prlimit"


FAULTS = (
    Fault(
        "exhaust-connections",
        "takes every session that PostgreSQL still permits to ordinary roles; services keep those that they have",
        _postgres,
        _exhaust,
        _give_back,
        prepare=_holder,
    ),
    Fault(
        "disk-full",
        "leaves PostgreSQL 64 kB on its disk, so that it stops soon; then makes room and starts it again",
        _postgres,
        _fill,
        _make_room,
        seconds=(4.0, 10.0),
        needs=_lacking,
    ),
)
