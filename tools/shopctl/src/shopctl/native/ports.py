"""Finds the process that listens on a TCP port of this machine."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

LISTEN = "0A"


@dataclass(frozen=True)
class Holder:
    """The owner of a listening socket; `pid` is None if it belongs to another user and we have no permission."""

    user: str
    pid: int | None
    command: str

    def __str__(self) -> str:
        if self.pid is None:
            return f"a process of user {self.user}"
        return f"pid {self.pid} ({self.command}) of user {self.user}"


def holder(port: int) -> Holder | None:
    """The process that listens on `port` at any address; None if the port is free."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not os.path.exists(table):
            continue
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, _, _, _, uid, _, inode, *_ = line.split()
            if state == LISTEN and int(local.rpartition(":")[2], 16) == port:
                return _owner(int(uid), inode)
    return None


def _owner(uid: int, inode: str) -> Holder:
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    pid = _pid_with(f"socket:[{inode}]")
    return Holder(user, pid, _command(pid) if pid else "")


def _pid_with(target: str) -> int | None:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(descriptor) == target for descriptor in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:
            continue  # it has ended, or we have no permission
    return None


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "gone"
    text = b" ".join(words).decode(errors="replace").strip()
    return text if len(text) <= 80 else f"{text[:77]}…"
