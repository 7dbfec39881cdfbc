"""When the visitors of open shapes arrive."""

from collections import Counter
from itertools import islice, pairwise
from statistics import mean, stdev

from hypothesis import given
from hypothesis import strategies as st

from schedule import Wave, arrivals

WAVES = (Wave(0, 60, 300, {"browser": 6, "buyer": 1}), Wave(20, 10, 700, {"bargain-hunter": 1}))


def test_each_visitor_of_each_wave_arrives_in_its_time() -> None:
    found = list(arrivals(WAVES, seed=1))

    hunters = [each for each in found if each.persona == "bargain-hunter"]
    assert len(hunters) == 700
    assert all(20 <= each.at <= 30 for each in hunters)
    assert len(found) == 1000
    assert all(0 <= each.at <= 60 for each in found)
    assert all(first.at <= second.at for first, second in pairwise(found))


def test_a_seed_determines_everything() -> None:
    assert list(arrivals(WAVES, seed=7)) == list(arrivals(WAVES, seed=7))
    assert list(arrivals(WAVES, seed=7)) != list(arrivals(WAVES, seed=8))


@given(workers=st.integers(1, 8))
def test_workers_share_all_visitors(workers: int) -> None:
    shares = [list(arrivals(WAVES, 1, worker, workers)) for worker in range(workers)]

    together = sorted((each for share in shares for each in share), key=lambda each: each.number)
    assert together == list(arrivals(WAVES, 1))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_gaps_are_those_of_a_poisson_process() -> None:
    times = [each.at for each in arrivals([Wave(0, 1000, 10_000, {"browser": 1})], seed=3)]
    gaps = [second - first for first, second in pairwise(times)]

    assert 0.098 < mean(gaps) < 0.102
    assert 0.095 < stdev(gaps) < 0.105, "the standard deviation of an exponential distribution equals its mean"


def test_personas_have_their_weights() -> None:
    found = Counter(each.persona for each in arrivals([Wave(0, 60, 7_000, {"browser": 6, "buyer": 1})], seed=1))

    assert 900 < found["buyer"] < 1_100


def test_a_long_schedule_is_not_kept_in_memory() -> None:
    first = list(islice(arrivals([Wave(0, 3_600, 10**12, {"browser": 1})], seed=1), 3))

    assert [each.number for each in first] == [0, 1, 2]
