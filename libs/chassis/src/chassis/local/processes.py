"""Starts a process in its own session, finds it again by its pid file, and stops it without leaving orphans."""

import _thread
import contextlib
import os
import pwd
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol


class StartError(RuntimeError):
    """A process did not become ready; the message ends with the last lines of its log."""


@dataclass(frozen=True)
class Command:
    """A command to execute: `env` is its whole environment; `user` is a name, or None for the current user."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None


class Server(Protocol):
    """A program that `start` can run."""

    @property
    def name(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def stop_signal(self) -> signal.Signals: ...
    def prepare(self) -> None:
        """Writes configuration and data, where they do not exist yet."""

    def command(self) -> Command: ...
    def ready(self) -> bool: ...


@dataclass(frozen=True)
class Process:
    """A process by its pid and start time (clock ticks since boot).

    The start time shows whether the pid now belongs to another process.
    """

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        """Returns the live process with this pid; None if there is none, or only a zombie.

        A zombie with threads lives: after SIGKILL its first thread may end before the others, which keep its ports.
        """
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        ended = fields[0] in "ZX" and int(fields[17]) <= 1
        return None if ended else cls(pid, int(fields[19]))

    @classmethod
    def load(cls, pid_file: Path) -> "Process | None":
        """Returns the process that a pid file names, if it still runs."""
        try:
            pid, started = map(int, pid_file.read_text().split())
        except (FileNotFoundError, ValueError):
            return None
        found = cls.of(pid)
        return found if found and found.started == started else None

    def save(self, pid_file: Path) -> None:
        pid_file.write_text(f"{self.pid} {self.started}\n")

    def alive(self) -> bool:
        return Process.of(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def memory(self) -> int:
        """Returns the proportional set size, in bytes, of the process and its descendants, as far as it is readable."""
        return sum(_pss(pid) for pid in self.family())

    def cpu(self) -> float:
        """Returns the CPU seconds, user and system, of the process and its descendants."""
        return sum(map(_cpu, self.family()))

    def family(self) -> list[int]:
        """Returns the pids of the process, of its descendants, parents first, and of the others in its session."""
        children: dict[int, list[int]] = {}
        session = []
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                pid, fields = int(entry.parent.name), entry.read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(pid)
                if int(fields[3]) == self.pid:
                    session.append(pid)
        family = [self.pid]
        for pid in family:
            family.extend(children.get(pid, ()))
        return list(dict.fromkeys([*family, *session]))

    def stop(self, number: signal.Signals, timeout: float = 8.0) -> None:
        """Sends signal `number`; after `timeout` seconds, sends SIGKILL to the process and its family.

        A child may be forked after the signal, and may outlive its parent; its session shows that it belongs here.
        """
        if not self.alive():
            return
        family = set(self._family())
        self.send(number)
        gone = _wait_gone([self], timeout)
        family |= set(self._family())
        # Helper processes notice that their parent is gone, but not at once.
        if not (gone and _wait_gone(family, 2.0)):
            for process in family:
                process.send(signal.SIGKILL)
            _wait_gone(family, 15.0)

    def _family(self) -> Iterator["Process"]:
        if Process.of(self.pid) in (self, None):  # the pid is not given again while the session has members
            yield from filter(None, map(Process.of, self.family()))


def spawn(command: Command, log: Path, *, die_with_parent: bool = False) -> Process:
    """Starts `command`, detached from the terminal and session, and appends its output to `log`."""
    argv = list(command.argv)
    if die_with_parent:
        argv = ["setpriv", "--pdeathsig", "TERM", "--", *argv]
    with log.open("ab") as output:
        child = subprocess.Popen(
            argv,
            cwd=command.cwd,
            env=dict(command.env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=command.user,
            group=None if command.user is None else pwd.getpwnam(command.user).pw_gid,
            extra_groups=None if command.user is None else (),
        )
    process = Process.of(child.pid)
    # Popen warns about a child that still runs; this one is meant to.
    child.returncode = 0
    if process is None:
        raise StartError(f"{argv[0]} ended at once\n{tail(log)}")
    return process


def start(server: Server, log: Path, *, timeout: float = 60.0, die_with_parent: bool = False) -> Process:
    """Prepares and starts `server`, and waits until it is ready.

    Raises StartError, after stopping the process, if it ends or is not ready in `timeout` seconds.
    """
    server.prepare()
    process = spawn(server.command(), log, die_with_parent=die_with_parent)
    try:
        wait_ready(server, process, log, timeout)
    except BaseException:
        process.stop(server.stop_signal)
        raise
    return process


def wait_ready(
    server: Server, process: Process, log: Path, timeout: float, cancelled: threading.Event | None = None
) -> None:
    """Returns once `server` is ready; raises StartError if it ends, is too slow, or `cancelled` is set."""
    deadline = time.monotonic() + timeout
    while not server.ready():
        if not process.alive():
            raise StartError(f"{server.name} ended while starting\n{tail(log)}")
        if time.monotonic() > deadline:
            raise StartError(f"{server.name} was not ready within {timeout:.0f} s\n{tail(log)}")
        if cancelled and cancelled.is_set():
            raise StartError(f"{server.name} is no longer wanted")
        time.sleep(0.05)


def wait_until_free(pid: int, memory: int | None = None, timeout: float = 30.0) -> None:
    """Waits until nothing is left of a process that has ended.

    Its `pid` is in use until its parent asks for the status; its segment of shared memory, which has the ID `memory`,
    until its last child has ended.
    """
    _wait(lambda: Process.of(pid) is not None or not (Path(f"/proc/{pid}").exists() or _attached(memory)), timeout)


def _attached(memory: int | None) -> int:
    """Returns how many processes have attached a segment of System V shared memory; 0 if there is no such segment."""
    segments = (line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:])
    return next((int(attached) for _, id, _, _, _, _, attached, *_ in segments if int(id) == memory), 0)


def stop_all(processes: Iterable[tuple[Process, signal.Signals]], timeout: float = 8.0) -> None:
    """Stops several processes at the same time, each with its own signal."""

    def stop() -> None:
        with ThreadPoolExecutor(max_workers=16) as pool:
            list(pool.map(lambda each: each[0].stop(each[1], timeout), processes))

    run_apart(stop)


def output(*argv: str, input: str = "", timeout: float = 60.0, **options: Any) -> str:
    """Runs a program to its end, and returns its standard output. Raises StartError if it fails or takes longer."""
    options |= {"capture_output": True, "text": True, "errors": "replace"}
    try:
        done = subprocess.run(argv, input=input, timeout=timeout, check=False, **options)
    except subprocess.TimeoutExpired:
        raise StartError(f"{argv[0]} did not end within {timeout:.0f} s") from None
    if done.returncode:
        raise StartError(f"{argv[0]} failed:\n{(done.stdout + done.stderr).strip()[-2000:]}")
    return str(done.stdout)


def run_apart(work: Callable[[], None], cancel: Callable[[], None] = lambda: None) -> None:
    """Runs `work` in a thread of its own, waits for its end, and raises what it raised.

    An exception of a signal handler reaches the main thread at any moment. Inside `threading` and `concurrent.futures`
    it can leave a lock locked, and other threads then wait forever. So this function takes no lock. After such an
    exception it calls `cancel`, which should make `work` end soon, and still waits for its end.
    """
    state = SimpleNamespace(begun=False, over=False, unwanted=False, error=None)

    def run() -> None:
        state.begun = True
        try:
            if not state.unwanted:
                work()
        except BaseException as error:
            state.error = error
        finally:
            state.over = True

    def wait() -> None:
        while not state.over:
            time.sleep(0.01)

    try:
        _thread.start_new_thread(run, ())
        wait()
    except BaseException:
        state.unwanted = True
        cancel()
        if state.begun:
            wait()
        raise
    if state.error is not None:
        raise state.error


def free_ports(count: int) -> list[int]:
    """Returns distinct TCP ports of 127.0.0.1 on which nothing listens.

    Until this process ends, the system gives them to nobody who asks for any port. A server may listen on one of them
    if it sets SO_REUSEADDR, as all of ours do.
    """
    return [_hold_a_port() for _ in range(count)]


def _hold_a_port() -> int:
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port: int = holder.getsockname()[1]
    holder.detach()  # it stays open, and does not listen
    return port


def answers(port: int, question: bytes, beginning: bytes, host: str = "127.0.0.1") -> bool:
    """Returns whether the server at `host`:`port` answers `question` with bytes that start with `beginning`."""
    try:
        with socket.create_connection((host, port), timeout=1.0) as connection:
            connection.sendall(question)
            return connection.recv(64).startswith(beginning)
    except OSError:
        return False


def tail(log: Path, lines: int = 15) -> str:
    """Returns the last lines of a log, indented, or a note that it is empty."""
    try:
        text = log.read_text(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        text = []
    return "\n".join(f"    {line}" for line in text) or f"    ({log} is empty)"


def _wait_gone(processes: Collection[Process], timeout: float) -> bool:
    return _wait(lambda: not any(process.alive() for process in processes), timeout)


def _wait(condition: Callable[[], bool], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.03)
    return True


def _pss(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0)


def _cpu(pid: int) -> float:
    """Returns the CPU seconds of a process and its ended children, such as PostgreSQL's sessions."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0  # it has ended, and its parent includes its time
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
