"""Processes of our own that a fault needs while it is in effect: forwarders, and holders of sessions.

Their pid files stay when the shop is reset, so that `heal` finds them.
"""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from chassis.local.processes import Command, Process, spawn
from chassis.local.system import environment
from shopctl.chaos.fault import Target

__all__ = ["pid_file", "save", "start", "stop_all"]

PREFIX = "helper-"


def pid_file(shop: Target, name: str) -> Path:
    """Returns the pid file of the helper with this name."""
    return shop.place.run / "chaos" / f"{PREFIX}{name}"


def start(shop: Target, name: str, argv: Sequence[str], log: str, **settings: str) -> Process:
    """Starts a helper, which must call `save`. Raises StartError if it ends at once."""
    file = pid_file(shop, name)
    env = environment() | settings | {"PID_FILE": str(file)}
    process = spawn(Command(tuple(argv), shop.place.run, env), shop.place.log(log))
    process.save(file)
    return process


def save() -> None:
    """Writes the pid file of this process, in case `start` was killed before it could."""
    if process := Process.of(os.getpid()):
        process.save(Path(os.environ["PID_FILE"]))


def stop_all(shop: Target) -> None:
    """Ends all helpers, and keeps their pid files: their faults are not undone."""
    for file in (shop.place.run / "chaos").glob(f"{PREFIX}*"):
        if process := Process.load(file):
            process.stop(signal.SIGTERM)
