"""Tests of processes: found by their pid file, never confused with another, stopped with their children."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chassis.local.processes import Command, Process, StartError, free_ports, output, spawn, start, wait_until_free
from chassis.local.servers import Postgres
from chassis.local.system import make_reachable, reachable

FORKS_WHEN_STOPPED = """
import os, signal, time
from pathlib import Path

def fork(number, frame):
    if child := os.fork():
        Path("child").write_text(str(child))
        {parent}
    time.sleep(60)

signal.signal(signal.SIGTERM, fork)
Path("ready").touch()
time.sleep(60)
"""
"""As nginx does if the signal comes between its start and that of its worker."""

DEAF = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork(); time.sleep(60)"

INTERRUPTED = """
import random, signal, time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from chassis.local.processes import run_apart

def interrupt(number, frame):
    raise KeyboardInterrupt

def work():
    with ThreadPoolExecutor(12) as pool:
        wait([pool.submit(time.sleep, 0.002) for _ in range(12)], return_when=FIRST_EXCEPTION)

signal.signal(signal.SIGALRM, interrupt)
choice = random.Random(1)
for _ in range(300):
    try:
        signal.setitimer(signal.ITIMER_REAL, choice.uniform(0.0001, 0.004))
        run_apart(work)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        pass
print("ended")
"""
"""With `work()` instead of `run_apart(work)` it hangs or fails, mostly before round 300."""


PARENT = """
import subprocess, sys

child = subprocess.Popen(["sleep", "60"], start_new_session=True)
print(child.pid, flush=True)
sys.stdin.readline()
child.wait()
"""
"""Asks for the status of its child when it gets a line. The pid of the child is in use until then."""

HALF_DEAD = """
import ctypes, threading, time

threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""
"""Its first thread has ended: it looks like a zombie, and the other thread keeps what is open."""


def python(code: str, cwd: Path) -> Command:
    return Command((sys.executable, "-c", code), cwd, dict(os.environ))


@dataclass(frozen=True)
class Failing:
    """A server that exits with a reason while it starts."""

    cwd: Path
    name: str = "failing"
    port: int = 1
    stop_signal: signal.Signals = signal.SIGTERM

    def prepare(self) -> None: ...

    def command(self) -> Command:
        return python("import time; time.sleep(0.2); raise SystemExit('no such configuration')", self.cwd)

    def ready(self) -> bool:
        return False


def test_a_process_has_its_own_session_and_is_found_by_its_pid_file(tmp_path: Path) -> None:
    process = spawn(python("import time; time.sleep(60)", tmp_path), tmp_path / "log")
    process.save(tmp_path / "pid")
    assert Process.load(tmp_path / "pid") == process
    assert os.getsid(process.pid) == process.pid
    process.stop(signal.SIGTERM)
    assert Process.load(tmp_path / "pid") is None


def test_a_recycled_pid_is_not_ours(tmp_path: Path) -> None:
    process = spawn(python("import time; time.sleep(60)", tmp_path), tmp_path / "log")
    Process(process.pid, process.started - 1).save(tmp_path / "pid")
    assert Process.load(tmp_path / "pid") is None
    process.stop(signal.SIGTERM)


def test_stop_kills_a_process_that_ignores_sigterm_and_its_children(tmp_path: Path) -> None:
    process = spawn(python(DEAF, tmp_path), tmp_path / "log")
    deadline = time.monotonic() + 30
    while len(family := process.family()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(family) == 2
    process.stop(signal.SIGTERM, timeout=0.3)
    assert [pid for pid in family if Process.of(pid)] == []


@pytest.mark.parametrize(("parent", "timeout"), [("os._exit(0)", 30), ("time.sleep(60)", 5)])
def test_stop_kills_a_child_that_was_forked_after_the_signal(tmp_path: Path, parent: str, timeout: float) -> None:
    process = spawn(python(FORKS_WHEN_STOPPED.format(parent=parent), tmp_path), tmp_path / "log")
    deadline = time.monotonic() + 30
    while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.stop(signal.SIGTERM, timeout)
    assert Process.of(int((tmp_path / "child").read_text())) is None
    assert not process.alive()


def test_a_pid_is_free_when_the_parent_has_asked_for_the_status() -> None:
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", PARENT], **pipes) as parent:
        process = Process.of(int(parent.stdout.readline()))
        assert process
        process.stop(signal.SIGTERM)
        os.kill(process.pid, 0)
        threading.Timer(0.5, parent.stdin.close).start()
        wait_until_free(process.pid)
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)


def test_a_process_lives_until_its_last_thread_has_ended(tmp_path: Path) -> None:
    process = spawn(python(HALF_DEAD, tmp_path), tmp_path / "log")
    stat = Path(f"/proc/{process.pid}/stat")
    deadline = time.monotonic() + 30
    while ") Z " not in stat.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert ") Z " in stat.read_text()
    assert process.alive()
    process.stop(signal.SIGTERM)
    assert not process.alive()


def test_a_free_port_is_for_the_server_that_was_meant() -> None:
    (port,) = free_ports(1)
    assert port not in free_ports(100)
    with socket.create_server(("127.0.0.1", port)):
        socket.create_connection(("127.0.0.1", port)).close()


def test_postgresql_starts_when_the_last_child_of_its_killed_predecessor_has_ended(open_folder: Path) -> None:
    server = Postgres(open_folder / "postgres", free_ports(1)[0], "secret", durable=False)
    process = start(server, open_folder / "log")
    _, child, *_ = process.family()  # the oldest: the youngest may be a session that ends just now
    os.kill(child, signal.SIGSTOP)
    os.kill(process.pid, signal.SIGKILL)
    os.waitpid(process.pid, 0)
    threading.Timer(1, os.kill, (child, signal.SIGCONT)).start()
    start(server, open_folder / "log").stop(server.stop_signal)

    lock = server.home / "data" / "postmaster.pid"
    assert not lock.exists()
    lock.touch()  # as if it had been killed before it wrote its pid
    start(server, open_folder / "log").stop(server.stop_signal)


def test_a_server_that_exits_while_starting_reports_the_reason(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"failing ended while starting\n.*no such configuration"):
        start(Failing(tmp_path), tmp_path / "log")


def test_an_exception_of_a_signal_handler_at_any_moment_leaves_no_thread_waiting() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("ended\n", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers as other users")
def test_data_of_a_private_clone_are_where_the_users_of_the_stores_can_reach_them(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    found = reachable(private / "data")
    make_reachable(private / "data")
    try:
        assert found.parent == Path("/var/tmp")
        assert (private / "data").readlink() == found
        assert reachable(private / "data") == found
        moved = private.rename(tmp_path / "moved")
        make_reachable(moved / "data")
        assert reachable(moved / "data") == found
    finally:
        shutil.rmtree(found)


def test_a_copy_of_a_clone_has_its_own_data(tmp_path: Path) -> None:
    one, other = tmp_path / "ü", tmp_path / "ü copied"
    make_reachable(one / "data")
    shutil.copytree(one, other, symlinks=True)
    make_reachable(other / "data")
    found = [reachable(each / "data") for each in (one, other)]
    try:
        assert found[0] != found[1]
        assert [(each / "data").readlink() for each in (one, other)] == found
    finally:
        for each in found:
            shutil.rmtree(each)


def test_data_of_a_clone_with_an_unusual_path_are_elsewhere(tmp_path: Path) -> None:
    odd = tmp_path / 'quo"te $HOME ü'
    found = reachable(odd / "data")
    make_reachable(odd / "data")
    try:
        assert found.parent == Path("/var/tmp")
        assert (odd / "data").readlink() == found
    finally:
        shutil.rmtree(found)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers as other users")
def test_servers_reach_their_data_under_a_strict_umask(strict_umask: None) -> None:
    top = Path(tempfile.mkdtemp())
    top.chmod(0o711)
    try:
        base = top / "state" / "run" / "data"
        make_reachable(base)
        assert reachable(base) == base
        assert all(each.stat().st_mode & 0o001 for each in (base, *base.parents))
    finally:
        shutil.rmtree(top)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers as other users")
def test_data_that_became_unreachable_are_not_replaced(tmp_path: Path) -> None:
    top = Path(tempfile.mkdtemp())
    top.chmod(0o711)
    try:
        make_reachable(top / "data")
        top.chmod(0o700)
        with pytest.raises(StartError, match=f"chmod o\\+x '{top}'"):
            make_reachable(top / "data")
    finally:
        shutil.rmtree(top)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the users of the stores can reach."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_a_program_that_fails_or_does_not_end_is_an_error_with_its_output() -> None:
    assert output("cat", input="good") == "good"
    with pytest.raises(StartError, match=r"(?s)sh failed.*bad"):
        output("sh", "-c", "echo bad >&2; exit 3")
    with pytest.raises(StartError, match="sleep did not end within 0 s"):
        output("sleep", "60", timeout=0.1)
