"""Starts Locust with the shoppers of `loadtests/`, on this machine against the edge."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from chassis.local.processes import StartError
from chassis.local.system import make_passable
from shopctl import given
from shopctl.place import Place
from shopctl.shop import Shop

__all__ = ["PAGE", "LoadRun", "address", "folder", "running"]

PAGE = 8089
"""The port of Locust's own page, without the offset."""
STARTED = 60.0
"""Seconds within which all workers must have started."""
PATIENCE = 60.0
"""Seconds that Locust may take to end after Ctrl-C: visits that have begun are finished."""


@dataclass(frozen=True)
class LoadRun:
    """A run with its files in `folder`. `settings` are environment variables, as loadtests/README.md lists them."""

    shop: Shop
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1
    page: bool = False
    """Locust's page, instead of a run that starts at once."""

    def environment(self) -> dict[str, str]:
        place = self.shop.place
        email, password = place.admin
        own = {"LOAD_RUN": str(self.folder), "ADMIN_EMAIL": email, "ADMIN_PASSWORD": password, "PYTHONUNBUFFERED": "1"}
        return {**os.environ, **self.settings, **own, "LOCUST_HOST": address(self.shop)}

    def command(self) -> list[str]:
        """Raises StartError without Locust."""
        if find_spec("locust") is None:
            raise StartError("Locust is not installed. `make setup` installs it.")
        place = self.shop.place
        argv = [sys.executable, "-m", "locust", "-f", str(place.root / "loadtests" / "locustfile.py")]
        if self.page:
            argv += ["--class-picker", "--web-host", "127.0.0.1", "--web-port", str(PAGE + place.offset)]
        else:
            argv += ["--headless"]
        if self.workers > 1:
            port = str(_free_port())
            argv += ["--processes", str(self.workers), "--master-bind-host", "127.0.0.1"]
            argv += ["--master-bind-port", port, "--master-port", port, "--expect-workers-max-wait", f"{STARTED:.0f}"]
        return argv


def folder(place: Place, name: str) -> Path:
    """Make a folder for the files of a new run, `.run/load/<UTC time>-<name>`."""
    make_passable(place.run)
    path = place.run / "load" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{name}"
    path.mkdir(parents=True, exist_ok=True)
    return path


def address(shop: Shop) -> str:
    """Where shoppers reach the edge: that of SHOP_URL, or this machine's without looking up a name."""
    if given.text("SHOP_URL"):
        return shop.place.address
    host, port = shop.address("edge")
    return f"http://{host}:{port}"


@contextlib.contextmanager
def running(run: LoadRun) -> Iterator["subprocess.Popen[bytes]"]:
    """Start Locust, which prints its progress; at the end of the block it is asked to end, if it still runs.

    Ctrl-C does not reach it, because it has a session of its own.
    """
    process = subprocess.Popen(
        run.command(), env=run.environment(), stdin=subprocess.DEVNULL, cwd=run.folder, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _free_port() -> int:
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return int(each.getsockname()[1])
