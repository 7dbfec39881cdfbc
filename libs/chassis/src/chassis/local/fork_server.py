"""Starts Python programs as forks of one process that has imported what they share, so that they share its memory.

    with fork_server(["fastapi", "aiohttp"], env) as spawn:
        process = spawn(Command((sys.executable, "-m", "uvicorn", …), cwd, env), log)

A program runs as if `processes.spawn` had started it: in its own session, with its own environment and log. The fork
server ends with the block. Its forks do not need it, and go on sharing the memory that none of them changes.
`test_fork_server.py` shows the behavior.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from chassis.local.processes import Command, Process, StartError, tail

__all__ = ["fork_server"]


@contextlib.contextmanager
def fork_server(modules: Iterable[str], env: Mapping[str, str]) -> Iterator[Callable[[Command, Path], Process]]:
    """Yields a function that starts `python -m …` commands, also from several threads.

    `env` is the environment in which the modules are imported, and in which the C library starts.
    """
    argv = [sys.executable, "-m", __name__, *modules]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, env=env, stdin=pipe, stdout=pipe, bufsize=0, start_new_session=True) as server:
        assert server.stdin
        assert server.stdout
        requests, pids, turn = server.stdin, server.stdout, threading.Lock()

        def spawn(command: Command, log: Path) -> Process:
            request = {"argv": command.argv, "cwd": str(command.cwd), "env": dict(command.env), "log": str(log)}
            try:
                with turn:
                    requests.write(json.dumps(request).encode() + b"\n")
                    process = Process.of(int(pids.readline()))
            except (OSError, ValueError):
                raise StartError("The fork server has ended") from None
            if process is None:
                raise StartError(f"{' '.join(command.argv[:3])} ended at once\n{tail(log)}")
            return process

        try:
            yield spawn
        finally:
            server.terminate()


def serve(modules: Iterable[str]) -> None:
    """Forks for each line of standard input, and prints the pid; the fork becomes the program."""
    gc.disable()  # a collection writes to every object, and a page that a fork writes to is no longer shared
    for module in modules:
        importlib.import_module(module)
    gc.freeze()
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            become(**json.loads(line))
            break
        print(pid, flush=True)


def become(argv: Sequence[str], cwd: str, env: Mapping[str, str], log: str) -> None:
    """Does what `python -m …` does, in this process."""
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    with open(os.devnull, "rb") as nothing, open(log, "ab") as output:
        for ours, standard in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(ours.fileno(), standard)
    show(argv)
    sys.argv[1:] = argv[3:]
    sys.path[0] = cwd
    gc.enable()
    runpy.run_module(argv[2], run_name="__main__", alter_sys=True)


def show(argv: Sequence[str]) -> None:
    """Makes `ps` show these arguments, as far as the old ones leave room (proc(5): arg_start, arg_end)."""
    start, end = map(int, Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45:47])
    text = "\0".join(argv).encode()[: end - start - 1]
    ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)


if __name__ == "__main__":
    serve(sys.argv[1:])
