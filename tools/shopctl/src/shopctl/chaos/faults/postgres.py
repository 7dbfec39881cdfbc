"""PostgreSQL without free sessions, and without room on its disk."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg

from chassis.local.processes import Command, Process, StartError, spawn
from chassis.local.system import environment
from shopctl.chaos import sessions
from shopctl.chaos.fault import Fault, State, Target

__all__ = ["FAULTS"]

TIMEOUT = 15.0
ROOM = 64 * 1024
POSITION = (
    "SELECT (pg_current_wal_insert_lsn() - '0/0') % setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'"
)


def _postgres(shop: Target) -> Sequence[str]:
    return ["postgres"]


def _holder(shop: Any, on: str) -> State:
    return {"process": f"sessions-{os.getpid()}-{time.monotonic_ns()}"}


def _exhaust(shop: Any, on: str, state: State) -> None:
    url = _url(shop)
    command = Command(
        (sys.executable, "-m", "shopctl.chaos.sessions"), shop.place.run, environment() | {"DATABASE_URL": url}
    )
    spawn(command, shop.place.log("sessions")).save(_pid_file(shop, state))
    _wait(url, taken=True)


def _give_back(shop: Any, on: str, state: State) -> None:
    if process := Process.load(file := _pid_file(shop, state)):
        process.stop(signal.SIGTERM)
    _wait(_url(shop), taken=False)
    file.unlink(missing_ok=True)


def _url(shop: Any) -> str:
    url: str = shop.place.database_url("auditor", shop.place.services.databases[0])
    return url


def _pid_file(shop: Target, state: State) -> Path:
    return shop.place.run / "chaos" / str(state["process"])


def _wait(url: str, *, taken: bool) -> None:
    deadline = time.monotonic() + TIMEOUT
    while asyncio.run(sessions.taken(url)) != taken:
        if time.monotonic() > deadline:
            raise StartError(f"PostgreSQL still {'permits' if taken else 'refuses'} sessions after {TIMEOUT:g} s.")
        time.sleep(0.1)


def _fill(shop: Any, on: str, state: State) -> None:
    """A process that may not write beyond a position in its files fails as on a full disk, with another message."""
    _limit(shop, f"{asyncio.run(_position(_url(shop))) + ROOM}")


def _make_room(shop: Any, on: str, state: State) -> None:
    _limit(shop, "unlimited")
    shop.stop("postgres")
    shop.start("postgres")


async def _position(url: str) -> int:
    """Returns where PostgreSQL writes next in the current file of its WAL."""
    connection = await asyncpg.connect(url, timeout=TIMEOUT)
    try:
        return int(await connection.fetchval(POSITION))
    finally:
        await connection.close(timeout=TIMEOUT)


def _limit(shop: Any, size: str) -> None:
    """Limits the bytes in a file up to which the processes of PostgreSQL may write.

    Their own user may do that, and root without further rights may not.
    """
    for server in shop.processes().get("postgres", ()):
        for pid in server.family():
            with suppress(FileNotFoundError):  # it has ended
                owner = Path(f"/proc/{pid}").stat()
                argv = ["prlimit", f"--pid={pid}", f"--fsize={size}:"]  # with the colon only the soft limit
                subprocess.run(argv, user=owner.st_uid, group=owner.st_gid, capture_output=True, timeout=5, check=False)


def _lacking(shop: Any) -> str | None:
    if shop.runtime == "compose" and os.geteuid() != 0:
        return "root"
    return None if shutil.which("prlimit") else "prlimit"


FAULTS = (
    Fault(
        "exhaust-connections",
        "takes every session that PostgreSQL permits to ordinary roles",
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
