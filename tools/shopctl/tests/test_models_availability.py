"""Availability: values that can be computed by hand, and limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopctl.models import measured
from shopctl.models.availability import (
    DAY,
    MONTH,
    availability,
    budget_used,
    downtime,
    drain_risk,
    k_of_n,
    parallel,
    redundant,
    series,
)

SHARE = st.floats(0, 1)


def test_availability_is_the_share_of_the_time_between_two_repairs() -> None:
    assert availability(99, 1) == 0.99
    assert availability(1, 0) == 1
    for between, repair in ((0, 1), (-1, 1), (1, -1)):
        with pytest.raises(ValueError, match="mean time"):
            availability(between, repair)


def test_three_nines_permit_43_minutes_in_30_days() -> None:
    assert downtime(0.999) / 60 == pytest.approx(43.2)
    assert budget_used(0.9995, 0.999) == pytest.approx(0.5)


def test_parts_in_series_multiply_and_parts_in_parallel_fail_together() -> None:
    assert series([0.9, 0.9]) == pytest.approx(0.81)
    assert parallel(0.9, 2) == pytest.approx(0.99)


@given(SHARE, st.integers(1, 6))
def test_k_of_n_has_series_and_parallel_as_its_limits(part: float, number: int) -> None:
    assert k_of_n(1, number, part) == pytest.approx(1 - (1 - part) ** number)
    assert k_of_n(number, number, part) == pytest.approx(part**number)
    assert k_of_n(0, number, part) == pytest.approx(1)


def test_a_quorum_of_two_of_three_beats_one_alone_only_above_one_half() -> None:
    assert k_of_n(2, 3, 0.9) == pytest.approx(0.972)
    assert k_of_n(2, 3, 0.5) == pytest.approx(0.5)
    assert k_of_n(2, 3, 0.4) < 0.4


@pytest.mark.parametrize(("needed", "number", "part"), [(-1, 2, 0.5), (3, 2, 0.5), (1, 2, 1.5)])
def test_a_quorum_is_possible(needed: int, number: int, part: float) -> None:
    with pytest.raises(ValueError, match="needed is from 0"):
        k_of_n(needed, number, part)


def test_a_second_replica_leaves_the_time_of_switching_and_of_failing_together() -> None:
    assert redundant(1000, 10, 10, 1) == availability(1000, 10)
    assert redundant(1000, 10, 0, 2) == parallel(availability(1000, 10), 2)
    assert 1 - redundant(1000, 10, 1, 2) == pytest.approx(2 / 1000 + (10 / 1010) ** 2)


def test_a_drain_is_a_risk_only_if_the_others_fail_meanwhile() -> None:
    assert drain_risk(30 * DAY, 60, 0) == 1
    assert drain_risk(30 * DAY, 60, 1) == pytest.approx(60 / (30 * DAY), rel=1e-4)


def test_two_pods_of_each_service_make_failures_shorter() -> None:
    parts = measured.failures(30, 90, 90, 600)
    one, two = (downtime(series(part.availability(replicas) for part in parts), MONTH) for replicas in (1, 2))
    assert two < one
