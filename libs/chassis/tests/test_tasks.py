"""A periodic task survives failures and reports them, runs when it is woken, and stops within its bound."""

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from chassis import tasks
from chassis.health import Worker
from chassis.tasks import PeriodicTask

AN_HOUR = 3600.0
Eventually = Callable[..., Any]


@pytest.fixture(autouse=True)
def everything(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.INFO, "chassis.tasks")
    monkeypatch.setattr(tasks, "FIRST_PAUSE", 0.001)


class Work:
    """Counts its runs; each one raises the next of `failures`, or waits for `gate` if there is none."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.started = 0
        self.finished = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> None:
        self.started += 1
        if self.failures:
            raise self.failures.pop(0)
        await self.gate.wait()
        self.finished += 1


async def test_it_runs_again_and_again(eventually: Eventually):
    work = Work()

    async with PeriodicTask("sweep", work, every=0.001):
        await eventually(lambda: work.finished >= 3)

    finished = work.finished
    await asyncio.sleep(0.02)
    assert work.finished == finished


async def test_it_waits_for_its_time_unless_it_is_woken(eventually: Eventually):
    work = Work()

    async with PeriodicTask("sweep", work, every=AN_HOUR) as task:
        await asyncio.sleep(0.02)
        assert work.started == 0

        task.wake()

        await eventually(lambda: work.finished == 1)


async def test_a_wake_during_a_run_starts_one_more(eventually: Eventually):
    work = Work()
    work.gate.clear()

    async with PeriodicTask("sweep", work, every=AN_HOUR) as task:
        task.wake()
        await eventually(lambda: work.started == 1)
        task.wake()
        task.wake()
        work.gate.set()

        await eventually(lambda: work.finished == 2)
        await asyncio.sleep(0.02)

    assert work.finished == 2


async def test_a_wake_just_before_the_end_is_served():
    work = Work()

    async with PeriodicTask("sweep", work, every=AN_HOUR) as task:
        task.wake()

    assert work.finished == 1


async def test_a_wake_that_fails_at_the_end_is_not_tried_again():
    work = Work(ConnectionError("no current"), ConnectionError("no current"))

    async with PeriodicTask("sweep", work, every=AN_HOUR) as task:
        task.wake()

    assert work.started == 1


async def test_an_outage_is_logged_when_it_begins_and_when_it_is_over(
    eventually: Eventually, caplog: pytest.LogCaptureFixture
):
    work = Work(*[ConnectionError("no current")] * 3)

    async with PeriodicTask("sweep", work, every=AN_HOUR) as task:
        task.wake()
        await eventually(lambda: work.finished == 1)

    assert caplog.record_tuples == [
        ("chassis.tasks", logging.WARNING, "sweep: no current (trying until it succeeds)"),
        ("chassis.tasks", logging.INFO, "sweep: works again"),
    ]


async def test_a_bug_is_logged_as_an_error_with_its_stack(eventually: Eventually, caplog: pytest.LogCaptureFixture):
    work = Work(*[KeyError("bulb")] * 2)

    async with PeriodicTask("sweep", work, every=AN_HOUR) as task:
        task.wake()
        await eventually(lambda: work.finished == 1)

    bug, over = caplog.records
    assert (bug.levelno, bug.getMessage()) == (logging.ERROR, "sweep: KeyError: 'bulb' (trying until it succeeds)")
    assert bug.exc_info
    assert over.levelno == logging.INFO


async def test_the_pauses_between_failures_grow_up_to_a_limit(eventually: Eventually, monkeypatch: pytest.MonkeyPatch):
    pauses: list[float] = []

    async def pause(event: asyncio.Event, seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(tasks, "pause", pause)
    work = Work(*[ConnectionError("no current")] * 5)

    async with PeriodicTask("sweep", work, every=AN_HOUR, longest_pause=0.004):
        await eventually(lambda: work.finished > 0)

    assert pauses[:6] == [AN_HOUR, 0.001, 0.002, 0.004, 0.004, 0.004]


async def test_a_library_that_cancels_its_waiters_does_not_end_the_task(eventually: Eventually):
    work = Work(asyncio.CancelledError())

    async with PeriodicTask("sweep", work, every=AN_HOUR) as task:
        task.wake()
        await eventually(lambda: work.finished == 1)


async def test_health_hears_of_a_task_that_fails_for_long(eventually: Eventually, monkeypatch: pytest.MonkeyPatch):
    work = Work(*[KeyError("bulb")] * 1000)

    async with PeriodicTask("sweep", work, every=AN_HOUR) as task:
        assert isinstance(task, Worker)
        task.wake()
        await eventually(lambda: work.started >= 3)
        assert task.trouble() is None

        monkeypatch.setattr(tasks, "PATIENCE", 0)
        assert re.fullmatch(r"sweep has failed for \d+ s", task.trouble() or "")

        work.failures.clear()
        await eventually(lambda: work.finished == 1)
        assert task.trouble() is None


async def test_leaving_waits_for_the_current_run(eventually: Eventually):
    work = Work()
    work.gate.clear()

    async with PeriodicTask("sweep", work, every=AN_HOUR, stop_within=60) as task:
        task.wake()
        await eventually(lambda: work.started == 1)
        asyncio.get_running_loop().call_later(0.02, work.gate.set)

    assert (work.started, work.finished) == (1, 1)


async def test_leaving_cancels_a_run_that_takes_too_long(eventually: Eventually):
    work = Work()
    work.gate.clear()

    async with PeriodicTask("sweep", work, every=AN_HOUR, stop_within=0.02) as task:
        task.wake()
        await eventually(lambda: work.started == 1)

    assert (work.started, work.finished) == (1, 0)
    assert "sweep" not in {running.get_name() for running in asyncio.all_tasks()}


async def test_leaving_does_not_wait_for_a_retry(monkeypatch: pytest.MonkeyPatch, eventually: Eventually):
    monkeypatch.setattr(tasks, "FIRST_PAUSE", AN_HOUR)
    work = Work(ConnectionError("no current"))

    async with asyncio.timeout(30), PeriodicTask("sweep", work, every=AN_HOUR, stop_within=60) as task:
        task.wake()
        await eventually(lambda: work.started == 1)

    assert work.started == 1
