"""A process between a service and its dependency that disturbs their connections while its fault is in effect.

    PID_FILE=… python -m shopctl.chaos.forwarder delay HOST PORT [--listen PORT] [--mark NUMBER]

At first it passes everything on. SIGUSR1 begins the fault, SIGUSR2 ends it, SIGTERM ends the process.

| fault | what passes |
| --- | --- |
| `delay` | everything 100 to 200 ms later, in each direction, and no more than 64 kB of a connection meanwhile |
| `loss` | everything, but 5 % of the chunks wait for TCP to send them again: 200 ms, then twice as long each time |
| `cut` | nothing, and no error or end either, until the fault ends; then what was held back. A client can connect |
| `reset` | everything, but each second all connections are reset |
| `cut-after-commit` | everything but PostgreSQL's answer to every fourth commit, whose connection ends instead |
"""

import argparse
import asyncio
import signal
import struct
from collections.abc import Callable, Iterator
from random import Random

from chassis.db.statements import summary
from chassis.local.forwarding import Forwarder, Passing
from shopctl.chaos import helpers

__all__ = ["FAULTS", "Commits", "Disturbance"]

DELAY = (0.1, 0.2)
LOST = 0.05
RETRANSMISSION = 0.2
RESET_EVERY = 1.0
EVERY = 4
"""The answer to every fourth commit is lost."""


class Disturbance:
    """What a process does to its connections; `active` is set while the fault is in effect."""

    def __init__(self) -> None:
        self.random = Random()  # noqa: S311
        self.active = asyncio.Event()
        self.mended = asyncio.Event()
        self.mended.set()
        self.commits = 0
        """The number of commits on all connections while the fault was in effect."""

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
            found = commits.answered(data) if answer else commits.asked(data)
            if found and self.active.is_set():
                before, self.commits = self.commits, self.commits + found
                if self.commits // EVERY > before // EVERY:
                    raise ConnectionAbortedError("the answer to a commit is lost")

        return passing


class Commits:
    """Finds the commits on one connection to PostgreSQL without TLS: COMMIT, and statements that commit by themselves.

    https://www.postgresql.org/docs/current/protocol-message-formats.html
    """

    def __init__(self) -> None:
        self._questions = Messages()
        self._answers = Messages()
        self._writing: set[bytes] = set()  # names of prepared statements
        self._writes = self._complete = False

    def asked(self, data: bytes) -> int:
        """Takes the next bytes from the client; they confirm no commit."""
        for kind, content in self._questions.feed(data):
            if kind == b"P":
                name, text, _ = content.split(b"\0", 2)
                if writes(text):
                    self._writing.add(name)
            elif kind == b"B":
                _, name, _ = content.split(b"\0", 2)
                self._writes = name in self._writing
            elif kind == b"Q":
                self._writes = writes(content) or content.startswith(b"COMMIT")
        return 0

    def answered(self, data: bytes) -> int:
        """Takes the next bytes from the server, and returns how many commits they confirm."""
        count = 0
        for kind, content in self._answers.feed(data):
            if kind == b"C":
                self._complete = not content.startswith(b"ROLLBACK")
            elif kind == b"Z":  # ready again, and idle outside a transaction
                count += self._complete and self._writes and content == b"I"
                self._complete = self._writes = False
        return count


class Messages:
    """Takes the bytes of one direction apart. What comes before the first message with a letter is skipped."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yields the letter and the content of each message that is complete."""
        self._rest += data
        if not self._begun:
            self._rest = self._rest.removeprefix(b"N")  # the answer to a request for TLS
            while self._rest[:1] == b"\0" and len(self._rest) >= 4:  # that request, and the startup message
                (length,) = struct.unpack_from("!I", self._rest)
                if len(self._rest) < length:
                    return
                self._rest = self._rest[length:]
            self._begun = self._rest[:1] not in (b"", b"\0")
        while self._begun and len(self._rest) >= 5:
            kind, length = struct.unpack_from("!cI", self._rest)
            if len(self._rest) <= length:
                return
            content, self._rest = self._rest[5 : length + 1], self._rest[length + 1 :]
            yield kind, content


def writes(statement: bytes) -> bool:
    return summary(statement.decode()).partition(" ")[0] in ("INSERT", "UPDATE", "DELETE")


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
