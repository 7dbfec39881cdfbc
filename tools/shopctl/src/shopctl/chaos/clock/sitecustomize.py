"""Shifts the clock of this process by CLOCK_SECONDS.

Python imports a module of this name when it starts, if PYTHONPATH leads to it. Only the time of day changes: timeouts
use the monotonic clock. `datetime` is written in C, so its methods are replaced in the dictionary of the type; `today`
calls `time.time`.
"""

import ctypes
import datetime
import gc
import os
import time

SECONDS = int(os.environ["CLOCK_SECONDS"])

_time, _time_ns = time.time, time.time_ns
_now, _utcnow = datetime.datetime.now, datetime.datetime.utcnow
_shift = datetime.timedelta(seconds=SECONDS)

time.time = lambda: _time() + SECONDS
time.time_ns = lambda: _time_ns() + SECONDS * 1_000_000_000

_methods = gc.get_referents(datetime.datetime.__dict__)[0]
_methods["now"] = classmethod(lambda cls, tz=None: _now(tz) + _shift)
_methods["utcnow"] = classmethod(lambda cls: _utcnow() + _shift)
ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime.datetime))
