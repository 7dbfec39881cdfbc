"""Demands, limits and the simulation, which must reproduce what `make bench` measured before it may predict."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopctl.bench.figures import Figure
from shopctl.models import measured
from shopctl.models.capacity import Demand, cost, fitted, gathered, limits, little, partitioned, partitions_of
from shopctl.models.measured import BENCH, OTHERS, Load, demands
from shopctl.models.simulation import Result, simulate


@given(st.floats(1e-5, 0.1), st.floats(1e-5, 0.1))
def test_a_fit_finds_the_demand_that_made_the_observations(batch: float, order: float) -> None:
    true = Demand(batch, order)
    found = fitted([(size, true.each(size)) for size in (1, 2, 6, 16, 64)])
    assert (found.batch, found.order) == pytest.approx((batch, order), rel=1e-6)


def test_no_part_of_a_fit_is_negative() -> None:
    assert fitted([(1, 1.0), (10, 2.0)]).batch == 0
    assert fitted([(1, 10.0), (10, 0.1)]).order == 0


@pytest.mark.parametrize("observed", [[(1, 1.0)], [(1, 1.0), (2, 0.0)], [(0, 1.0), (2, 1.0)]])
def test_a_fit_needs_two_observations(observed: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="at least two observations"):
        fitted(observed)


def test_batches_hold_what_comes_within_the_linger_and_64_at_most() -> None:
    assert [gathered(rate) for rate in (1, 10, 50, 200, 100_000)] == [1, 1, 2, 6, 64]


def test_the_first_limit_is_the_cores_on_two_and_the_order_process_on_eight() -> None:
    assert limits(demands(BENCH), 2, 1)[0].name == "all cores"
    assert limits(demands(BENCH), 8, 1)[0].name == "order"
    assert limits(demands(BENCH), 8, 4)[0].name == "all cores"


def test_by_the_utilisation_law_a_limit_is_the_inverse_of_the_demand() -> None:
    (cores, process) = limits({"order": Demand(0.0, 0.001)}, 2, 1)[::-1]
    assert (process.name, process.rate, cores.rate) == ("order", 1000, 2000)


def test_littles_law_and_prices() -> None:
    assert little(400, 0.15) == 60
    assert cost(2, 1, 0.04, 0.02, 1e6 / 3600) == pytest.approx(0.10)


def test_an_order_touches_more_partitions_the_more_there_are_but_no_more_than_its_lines() -> None:
    assert partitions_of(3, 1) == 1
    assert partitions_of(2, 2) == pytest.approx(1.5)
    assert partitions_of(3, 10_000) == pytest.approx(3, abs=0.001)
    one = {"catalog": Demand(0.0, 1.0), "order": Demand(0.0, 1.0)}
    assert partitioned(one, 3, 1) == one
    assert partitioned(one, 2, 2)["catalog"].order == pytest.approx(1.5)
    assert partitioned(one, 2, 2)["order"].order == 1


@pytest.fixture(scope="module", params=BENCH, ids=lambda load: load.name)
def load(request: pytest.FixtureRequest) -> Load:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def found(load: Load) -> Result:
    """What the simulation finds at a load that `make bench` measured."""
    return simulate(demands(BENCH), **load.visitors, others=OTHERS / 1000)


def test_the_simulation_reproduces_cpu_time_rate_and_latency_within_20_percent(load: Load, found: Result) -> None:
    assert 1000 * found.cpu == pytest.approx(sum(load.cpu.values()), rel=0.2)
    assert found.rate == pytest.approx(load.rate, rel=0.2)
    assert 1000 * found.percentile(0.5) == pytest.approx(load.confirmed, rel=0.2)


def test_the_simulation_reproduces_the_answer_within_20_percent_except_at_200_orders_a_second(
    load: Load, found: Result
) -> None:
    rel = 0.25 if load.name == "200 orders/s" else 0.2
    assert 1000 * found.percentile(0.5, answered=True) == pytest.approx(load.answered, rel=rel)


def test_the_simulation_reproduces_the_95th_percentile_within_20_percent_except_at_64_at_once(
    load: Load, found: Result
) -> None:
    rel = 0.35 if load.name == "64 at once" else 0.2
    assert 1000 * found.percentile(0.95) == pytest.approx(load.confirmed_p95, rel=rel)


def test_it_predicts_the_cpu_time_of_a_load_that_it_has_not_seen(load: Load) -> None:
    others = demands([each for each in BENCH if each != load])
    found = simulate(others, **load.visitors, others=OTHERS / 1000)
    assert 1000 * found.cpu == pytest.approx(sum(load.cpu.values()), rel=0.25)
    assert found.rate == pytest.approx(load.rate, rel=0.25)


def test_replicas_help_only_where_cores_are_free() -> None:
    known = demands(BENCH)
    one, four = (simulate(known, rate=1200, cores=8, replicas=each, orders=2000).percentile(0.95) for each in (1, 4))
    assert four < one


def test_a_simulation_needs_either_a_rate_or_clients() -> None:
    for given_ in ({}, {"rate": 1.0, "clients": 1}):
        with pytest.raises(ValueError, match="rate or a number of clients"):
            simulate(demands(BENCH), **given_)  # type: ignore[arg-type]


def test_a_result_of_the_benchmark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_text(json.dumps([dataclasses.asdict(figure) for load in BENCH for figure in figures(load)]))
    assert measured.read(file) == BENCH


@pytest.mark.parametrize("text", ["", "{}", "[]", "[1]", '[{"section": "idle"}]', "[" * 100_000])
def test_another_file_is_no_result_of_the_benchmark(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bench.json"
    file.write_text(text)
    with pytest.raises(ValueError, match="holds no orders at two loads"):
        measured.read(file)


def figures(load: Load) -> list[Figure]:
    return [
        *(Figure(load.name, f"  {name}", value, "ms per order") for name, value in load.cpu.items()),
        Figure(load.name, "confirmed per second", load.rate, "orders/s"),
        Figure(load.name, "POST to answer, p50", load.answered, "ms"),
        Figure(load.name, "POST to CONFIRMED, p50", load.confirmed, "ms"),
        Figure(load.name, "POST to CONFIRMED, p95", load.confirmed_p95, "ms"),
    ]
