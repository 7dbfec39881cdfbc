"""IDs made by many processes at once sort by time."""

from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from uuid import RFC_4122

from chassis.ids import created_at, uuid7


def test_an_id_is_a_version_7_uuid_that_tells_when_it_was_made():
    before = datetime.now(UTC)
    id = uuid7()

    assert (id.version, id.variant) == (7, RFC_4122)
    assert timedelta(milliseconds=-1) <= created_at(id) - before < timedelta(seconds=1)


def test_ids_are_unique_even_within_a_tick_of_the_clock():
    assert len({uuid7() for _ in range(50_000)}) == 50_000


def test_ids_made_one_after_another_in_different_processes_sort_in_that_order():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
        other.submit(uuid7).result()
        ids = [make() for _ in range(20) for make in (uuid7, lambda: other.submit(uuid7).result())]

    assert ids == sorted(ids)
