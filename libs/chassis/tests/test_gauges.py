"""A gauge that could not be read has no value, and does not make its worker unready."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import Gauge

from chassis import tasks
from chassis.gauges import Gauges
from chassis.health import Worker

plain = Gauge("test_gauges_plain", "…")
labeled = Gauge("test_gauges_labeled", "…", ["state"])


async def test_a_measurement_that_fails_leaves_no_value(
    eventually: Callable[..., Any], sample: Callable[..., float | None], monkeypatch: pytest.MonkeyPatch
):
    failing = False

    async def measure() -> None:
        if failing:
            raise ConnectionError("no current")
        plain.set(7)
        labeled.labels("lit").set(7)

    def values() -> tuple[float | None, float | None]:
        return sample("test_gauges_plain"), sample("test_gauges_labeled", state="lit")

    monkeypatch.setattr(tasks, "FIRST_PAUSE", 0.001)
    async with Gauges(measure, [plain, labeled], every=0.001):
        await eventually(lambda: values() == (7, 7))

        failing = True
        await eventually(lambda: math.isnan(values()[0] or 0))
        assert values()[1] is None

        failing = False
        await eventually(lambda: values() == (7, 7))


async def test_health_does_not_judge_gauges():
    async def measure() -> None:
        pass

    assert not isinstance(Gauges(measure, [], every=1), Worker)
