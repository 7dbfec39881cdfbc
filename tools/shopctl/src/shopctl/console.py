"""What every command says and how it ends: 0 done, 1 could not, 2 wrong usage, 130 interrupted."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

import typer
from rich.console import Console

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def fail(message: object) -> NoReturn:
    """Print why on stderr, and end with status 1."""
    err.print(str(message), style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1)


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
