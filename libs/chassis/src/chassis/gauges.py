"""Gauges whose values come from the database.

If the database does not answer, the last value would stay, and with `max` the highest of all workers' last values. So a
gauge that could not be read has no value. `test_gauges.py` shows this.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from prometheus_client import Gauge

from chassis.tasks import PeriodicTask

__all__ = ["Gauges"]


class Gauges:
    """Sets gauges by calling `measure` every `every` seconds, inside its `async with` block.

    Every worker of a service has one, and all report the same numbers. After a run that fails, the `gauges` have no
    value until a run succeeds: a gauge with labels has no series, and another one is NaN. Health does not judge it: a
    worker without gauges still works.
    """

    def __init__(self, measure: Callable[[], Awaitable[None]], gauges: Sequence[Gauge], *, every: float) -> None:
        self._measure = measure
        self._gauges = gauges
        self._task = PeriodicTask("gauges", self._run, every=every)
        self._task.wake()

    async def __aenter__(self) -> Self:
        await self._task.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._task.__aexit__()

    async def _run(self) -> None:
        try:
            await self._measure()
        except BaseException:
            for gauge in self._gauges:
                _forget(gauge)
            raise


def _forget(gauge: Gauge) -> None:
    if gauge._labelnames:
        gauge.clear()
    else:
        gauge.set(math.nan)
