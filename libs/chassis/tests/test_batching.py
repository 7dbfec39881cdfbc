"""Concurrent requests share one run; a single request does not wait for others."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from chassis import tracing
from chassis.batching import Batcher
from chassis.errors import Conflict, Unavailable
from chassis.waiting import deadline


class Squares:
    """The shared work; each run takes as long as a commit to disk, and does not end before `go_on`."""

    def __init__(self, seconds: float = 0.02) -> None:
        self.seconds = seconds
        self.runs: list[list[int]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, items: list[int]) -> Sequence[int | Exception]:
        self.runs.append(items)
        await asyncio.sleep(self.seconds)
        await self.go_on.wait()
        return [
            Conflict("odd", "Odd numbers are taken", "Take an even one.") if item == 13 else item * item
            for item in items
        ]


async def test_a_single_request_is_not_delayed():
    work = Squares()
    call = asyncio.create_task(Batcher(work).submit(1))

    for _ in range(2):  # one turn of the event loop for the call, one for the run
        await asyncio.sleep(0)

    assert work.runs == [[1]]
    assert await call == 1


async def test_items_that_arrive_during_a_run_share_the_next_one():
    work = Squares()
    batcher = Batcher(work)
    first = asyncio.create_task(batcher.submit(1))
    await asyncio.sleep(0.005)

    results = await asyncio.gather(first, *(batcher.submit(item) for item in (2, 3, 4)))

    assert results == [1, 4, 9, 16]
    assert work.runs == [[1], [2, 3, 4]]


async def test_items_that_arrive_while_the_first_one_lingers_share_its_run():
    work = Squares()
    batcher = Batcher(work, linger=0.05)
    first = asyncio.create_task(batcher.submit(1))
    await asyncio.sleep(0.005)

    results = await asyncio.gather(first, batcher.submit(2))

    assert results == [1, 4]
    assert work.runs == [[1, 2]]


async def test_a_run_takes_no_more_than_its_size():
    work = Squares()
    batcher = Batcher(work, size=2)

    await asyncio.gather(*(batcher.submit(item) for item in range(5)))

    assert work.runs == [[0, 1], [2, 3], [4]]


async def test_one_items_failure_reaches_only_its_submitter():
    batcher = Batcher(Squares())

    results = await asyncio.gather(*(batcher.submit(item) for item in (2, 13, 3)), return_exceptions=True)

    assert (results[0], results[2]) == (4, 9)
    assert isinstance(results[1], Conflict)


async def test_a_failed_run_fails_its_own_items_and_no_later_ones():
    async def run(items: list[int]) -> list[int | Exception]:
        if 0 in items:
            raise ConnectionResetError("the database went away")
        return list(items)

    batcher = Batcher(run)

    failed = await asyncio.gather(batcher.submit(0), batcher.submit(1), return_exceptions=True)

    assert [type(error) for error in failed] == [ConnectionResetError, ConnectionResetError]
    assert await batcher.submit(2) == 2


async def test_a_run_with_a_missing_result_fails_its_items():
    async def run(items: list[int]) -> list[int | Exception]:
        return list(items[1:])

    batcher = Batcher(run)

    async with asyncio.timeout(1):
        failed = await asyncio.gather(batcher.submit(1), batcher.submit(2), return_exceptions=True)

    assert all(isinstance(error, ValueError) for error in failed)


async def test_a_full_queue_refuses_at_once():
    batcher = Batcher(Squares(), queue=2)
    waiting = [asyncio.create_task(batcher.submit(1))]
    await asyncio.sleep(0.005)
    waiting += [asyncio.create_task(batcher.submit(item)) for item in (2, 3)]
    await asyncio.sleep(0)

    with pytest.raises(Unavailable) as refused:
        await batcher.submit(4)

    assert refused.value.retry_after == 1
    assert await asyncio.gather(*waiting) == [1, 4, 9]


async def test_a_cancelled_submitter_does_not_affect_the_others():
    work = Squares()
    batcher = Batcher(work)
    gone, stays = asyncio.create_task(batcher.submit(1)), asyncio.create_task(batcher.submit(2))
    await asyncio.sleep(0.005)

    gone.cancel()

    assert await stays == 4
    assert work.runs == [[1, 2]]


async def test_an_item_whose_submitter_was_cancelled_while_waiting_is_not_run():
    work = Squares()
    batcher = Batcher(work)
    first = asyncio.create_task(batcher.submit(1))
    await asyncio.sleep(0.005)
    gone = asyncio.create_task(batcher.submit(2))
    await asyncio.sleep(0)

    gone.cancel()
    await first
    await batcher.submit(3)

    assert work.runs == [[1], [3]]


async def hurried(batcher: Batcher[int, int], item: int, seconds: float) -> int:
    """Submits as a client with that deadline, in its own context."""
    deadline.set(time.monotonic() + seconds)
    return await batcher.submit(item)


async def test_a_short_deadline_ends_only_its_own_request():
    work = Squares(0.1)
    batcher = Batcher(work)

    calls = [asyncio.create_task(hurried(batcher, item, seconds)) for item, seconds in ((1, 0.02), (2, 60))]
    calls.append(asyncio.create_task(batcher.submit(3)))
    hurried_one, *others = await asyncio.gather(*calls, return_exceptions=True)

    assert isinstance(hurried_one, Unavailable)
    assert hurried_one.slug == "deadline-passed"
    assert others == [4, 9]


async def test_shared_work_has_no_requests_deadline_or_trace():
    seen: list[tuple[float | None, tracing.Context | None]] = []

    async def run(items: list[int]) -> list[int | Exception]:
        seen.append((deadline.get(), tracing.current()))
        return list(items)

    with tracing.inside(tracing.Context("1" * 32, "1" * 16, "00", False)):
        assert await hurried(Batcher(run), 1, 60) == 1

    assert seen == [(None, None)]


async def test_an_item_past_its_deadline_is_not_run():
    work = Squares()
    work.go_on.clear()
    batcher = Batcher(work)
    first = asyncio.create_task(batcher.submit(1))
    await asyncio.sleep(0.005)

    with pytest.raises(Unavailable, match="deadline-passed"):
        await asyncio.create_task(hurried(batcher, 2, 0.01))
    work.go_on.set()
    await first
    await batcher.submit(3)

    assert work.runs == [[1], [3]]


async def test_an_item_that_breaks_the_run_fails_alone():
    done: list[int] = []

    async def run(items: list[int]) -> list[int | Exception]:
        shares = [60 // item for item in items]
        done.extend(items)
        return list(shares)

    batcher = Batcher(run)

    results = await asyncio.gather(*(batcher.submit(item) for item in (1, 2, 0, 3, 4)), return_exceptions=True)

    assert isinstance(results.pop(2), ZeroDivisionError)
    assert results == [60, 30, 20, 15]
    assert sorted(done) == [1, 2, 3, 4]


async def test_a_run_that_hangs_is_ended_and_the_next_one_starts():
    async def run(items: list[int]) -> list[int | Exception]:
        if 0 in items:
            await asyncio.sleep(60)
        return list(items)

    batcher = Batcher(run, timeout=0.05)

    with pytest.raises(TimeoutError):
        await batcher.submit(0)
    assert await batcher.submit(1) == 1
