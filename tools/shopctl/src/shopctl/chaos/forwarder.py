"""A process between a service and its dependency that disturbs their connections while its fault is in effect.

    PID_FILE=… python -m shopctl.chaos.forwarder delay HOST PORT [--listen PORT] [--mark NUMBER]

At first it passes everything on. SIGUSR1 begins the fault, SIGUSR2 ends it, SIGTERM ends the process.

| fault | what passes |
| --- | --- |
| `delay` | everything 100 to 200 ms later, in each direction, and no more than 64 kB of a connection meanwhile |
| `loss` | everything, but 5 % of the chunks wait for TCP to send them again: 200 ms, then twice as long each time |
| `cut` | nothing, and no error or end either, until the fault ends; then what was held back. A client can connect |
| `reset` | everything, but each second all connections are reset |
| `cut-after-commit` | everything but PostgreSQL's answer to every fourth COMMIT, whose connection ends instead |
"""

import argparse
import asyncio
import signal
import struct
from collections.abc import Callable
from random import Random

from chassis.local.forwarding import Forwarder, Passing
from shopctl.chaos import helpers

__all__ = ["FAULTS", "Commits", "Disturbance"]

DELAY = (0.1, 0.2)
LOST = 0.05
RETRANSMISSION = 0.2
RESET_EVERY = 1.0
EVERY = 4
"""The answer to every fourth COMMIT is lost."""


class Disturbance:
    """What a process does to its connections; `active` is set while the fault is in effect."""

    def __init__(self) -> None:
        self.random = Random()  # noqa: S311
        self.active = asyncio.Event()
        self.mended = asyncio.Event()
        self.mended.set()
        self.commits = 0
        """The number of COMMITs on all connections while the fault was in effect."""

    def begin(self) -> None:
        self.active.set()
        self.mended.clear()

    def end(self) -> None:
        self.active.clear()
        self.mended.set()

    async def delay(self, data: bytes, answer: bool) -> None:
        if self.active.is_set():
            await asyncio.sleep(self.random.uniform(*DELAY))

    async def loss(self, data: bytes, answer: bool) -> None:
        wait = RETRANSMISSION
        while self.active.is_set() and self.random.random() < LOST:
            await asyncio.sleep(wait)
            wait *= 2

    async def cut(self, data: bytes, answer: bool) -> None:
        await self.mended.wait()

    async def reset(self, data: bytes, answer: bool) -> None:
        """Passes everything on; `main` resets the connections."""

    def cut_after_commit(self) -> Passing:
        """Returns what one connection to PostgreSQL passes through."""
        commits = Commits()

        async def passing(data: bytes, answer: bool) -> None:
            found = commits.feed(data) if answer else 0
            if found and self.active.is_set():
                before, self.commits = self.commits, self.commits + found
                if self.commits // EVERY > before // EVERY:
                    raise ConnectionAbortedError("the answer to a COMMIT is lost")

        return passing


class Commits:
    """Finds the answers to COMMIT in what PostgreSQL sends on one connection without TLS.

    The first byte may answer a request for TLS; then each message is a letter, a length and its content.
    https://www.postgresql.org/docs/current/protocol-message-formats.html
    """

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False

    def feed(self, data: bytes) -> int:
        """Takes the next bytes, and returns how many COMMITs they confirm."""
        count = 0
        self._rest += data
        if not self._begun:
            self._rest = self._rest.removeprefix(b"N")
            self._begun = bool(self._rest)
        while len(self._rest) >= 5:
            kind, length = struct.unpack_from("!cI", self._rest)
            if len(self._rest) <= length:
                break
            if kind == b"C" and self._rest[5 : length + 1] == b"COMMIT\0":
                count += 1
            self._rest = self._rest[length + 1 :]
        return count


FAULTS: dict[str, Callable[[Disturbance], Callable[[], Passing]]] = {
    "delay": lambda fault: lambda: fault.delay,
    "loss": lambda fault: lambda: fault.loss,
    "cut": lambda fault: lambda: fault.cut,
    "reset": lambda fault: lambda: fault.reset,
    "cut-after-commit": lambda fault: fault.cut_after_commit,
}


async def forward(name: str, host: str, port: int, listen: int, mark: int | None) -> None:
    """Forwards connections until this process ends."""
    fault, loop = Disturbance(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, fault.begin)
    loop.add_signal_handler(signal.SIGUSR2, fault.end)
    forwarder = Forwarder(host, port, FAULTS[name](fault), mark)
    await forwarder.listen(listen)
    while True:
        await fault.active.wait()
        if name == "reset":
            forwarder.reset()
        await asyncio.sleep(RESET_EVERY)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m shopctl.chaos.forwarder")
    parser.add_argument("fault", choices=FAULTS)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--listen", type=int, default=0)
    parser.add_argument("--mark", type=int)
    given = parser.parse_args()
    asyncio.run(forward(given.fault, given.host, given.port, given.listen, given.mark))


if __name__ == "__main__":
    helpers.save()
    main()
