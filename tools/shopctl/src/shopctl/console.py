"""Output and exit codes of every command: 0 success, 1 failure, 2 wrong usage, 130 interrupted."""

import contextlib
import io
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WIDER_THAN_ANY_TABLE = 1_000_000


def fail(message: object, status: int = 1) -> NoReturn:
    """Print the reason on stderr and exit."""
    err.print(str(message), style="red", markup=False, soft_wrap=True)
    raise typer.Exit(status)


def reason(error: BaseException) -> str:
    """An error's message, or its type if it has none, as most timeouts do."""
    return str(error) or type(error).__name__


def show(table: Table) -> None:
    """Print a table at its full width, so that IDs can be copied. A narrower terminal wraps the lines itself."""
    width = Measurement.get(out, out.options.update(width=_WIDER_THAN_ANY_TABLE), table).maximum
    Console(highlight=False, width=width).print(table)


def cell(value: object) -> Text:
    """A table cell with this text, without markup, line breaks or control sequences."""
    return Text(printable(str(value)))


def printable(text: str, keep: str = "") -> str:
    """The text with control characters replaced, except those in `keep`."""
    return "".join(each if each.isprintable() or each in keep else "\N{REPLACEMENT CHARACTER}" for each in text)


def say_what_can_be_said() -> None:
    """Print a question mark where the encoding of the terminal lacks a character, such as an arrow."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt once for Ctrl-C, SIGTERM or a closed terminal, so that cleanup is not interrupted."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
