"""Shifts the clock of this process, but not those of the stores."""

import contextlib
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from typing import Self
from unittest import mock


@contextlib.contextmanager
def clock_off(seconds: float) -> Iterator[None]:
    """Shifts `time.time`, `time.time_ns` and, in our own modules, `datetime.now` by `seconds`.

    The monotonic clock is unchanged, as when a real clock is set.
    """
    now, now_ns = time.time, time.time_ns

    def shifted() -> float:
        return now() + seconds

    def shifted_ns() -> int:
        return now_ns() + int(seconds * 1e9)

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return datetime.now(tz) + timedelta(seconds=seconds)  # type: ignore[return-value]

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch("time.time", shifted))
        stack.enter_context(mock.patch("time.time_ns", shifted_ns))
        for module in list(sys.modules.values()):
            ours = "/src/" in (getattr(module, "__file__", None) or "")
            if ours and module.__name__ != __name__ and getattr(module, "datetime", None) is datetime:
                stack.enter_context(mock.patch.object(module, "datetime", Shifted))
        yield
