"""Tests of the fork server: its forks are like other processes, share memory, and do not need it."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from chassis.local.fork_server import fork_server
from chassis.local.processes import Command, Process, StartError, spawn
from chassis.local.system import environment

ENV = environment() | {"LAMP": "lit"}
DESCRIBE = """
import json, os, sys
from pathlib import Path

print("written")
print(json.dumps({
    "name": __name__,
    "argv": sys.argv,
    "path": sys.path,
    "cwd": os.getcwd(),
    "env": dict(os.environ),
    "input": sys.stdin.read(),
    "descriptors": [os.path.realpath(f"/proc/self/fd/{n}") for n in range(3)],
    "leads its session": os.getsid(0) == os.getpid(),
    "shown": Path("/proc/self/cmdline").read_text().rstrip(chr(0)),
}, indent=1))
sys.exit("the end")
"""
FAIL = "raise RuntimeError('no lamp')"
LARGE = "DATA = bytearray(60_000_000)"
SLEEP = "import time; time.sleep(60)"

Spawn = Callable[[Command, Path], Process]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    for name, text in {"describe": DESCRIBE, "fail": FAIL, "large": LARGE, "sleep": SLEEP}.items():
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


@pytest.fixture
def fork(here: Path) -> Iterator[Spawn]:
    with fork_server(["json"], ENV) as fork:
        yield fork


def run(begin: Spawn, here: Path, module: str, *arguments: str) -> str:
    """Runs a module of `here` to its end, and returns its log without the process that wrote it."""
    log = here / "log"
    log.unlink(missing_ok=True)
    process = begin(Command((sys.executable, "-m", module, *arguments), here, ENV), log)
    while process.alive():
        os.sched_yield()
    return log.read_text()


def test_a_fork_finds_all_that_another_process_finds(fork: Spawn, here: Path) -> None:
    described = run(fork, here, "describe", "--bright", "ünï")
    assert described == run(spawn, here, "describe", "--bright", "ünï")
    assert "the end" in described


def test_an_error_is_in_the_log(fork: Spawn, here: Path) -> None:
    with suppress(StartError):  # it may have ended before the fork server could look at it
        run(fork, here, "fail")
    assert "RuntimeError: no lamp" in (here / "log").read_text()


def test_forks_share_what_was_imported_also_after_the_fork_server_has_ended(here: Path) -> None:
    command = Command((sys.executable, "-m", "sleep"), here, ENV)
    with fork_server(["large"], ENV | {"PYTHONPATH": str(here)}) as fork:
        forks = [fork(command, here / "log") for _ in range(3)]
    try:
        assert all(process.alive() for process in forks)
        assert 60_000_000 < sum(process.memory() for process in forks) < 100_000_000
    finally:
        for process in forks:
            process.stop(signal.SIGKILL)


def test_a_module_that_cannot_be_imported_is_reported(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with fork_server(["lantern"], ENV) as fork, pytest.raises(StartError, match="fork server has ended"):
        run(fork, here, "describe")
    assert "No module named 'lantern'" in capfd.readouterr().err
