"""What every command says and how it ends: 0 done, 1 could not, 2 wrong usage, 130 interrupted."""

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
    """Print why on stderr, and end."""
    err.print(str(message), style="red", markup=False, soft_wrap=True)
    raise typer.Exit(status)


def reason(error: BaseException) -> str:
    """What an error says; if it says nothing, as most time-outs do, what it is."""
    return str(error) or type(error).__name__


def show(table: Table) -> None:
    """Print a table as wide as it is: an id is copied from it whole. A narrower terminal breaks the line by itself."""
    width = Measurement.get(out, out.options.update(width=_WIDER_THAN_ANY_TABLE), table).maximum
    Console(highlight=False, width=width).print(table)


def cell(value: object) -> Text:
    """A value in a table as it is: it is no markup, it stays in its row, and it does not steer the terminal."""
    return Text(printable(str(value)))


def printable(text: str, keep: str = "") -> str:
    """Without control characters, except those to `keep`."""
    return "".join(each if each.isprintable() or each in keep else "\N{REPLACEMENT CHARACTER}" for each in text)


def say_what_can_be_said() -> None:
    """Where the terminal, or PYTHONIOENCODING, has no arrow or check mark, print a question mark in its stead."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal raise KeyboardInterrupt, once: the cleaning up is not interrupted."""

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
