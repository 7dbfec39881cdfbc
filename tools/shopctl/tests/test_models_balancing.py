"""Queues against values from the literature and their limits; the simulation against formulas and measurements."""

import asyncio
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopctl.models import measured
from shopctl.models.balancing import (
    POLICIES,
    address,
    erlang_c,
    home,
    imbalance,
    mm1,
    mmc,
    round_robin,
    shares_of_equal_connections,
    simulate,
)
from shopctl.models.replicas import measure

EDGE = Path(__file__).parents[3] / "deploy/nginx/balancing"


@pytest.mark.parametrize(
    ("servers", "offered", "probability"), [(1, 0.5, 0.5), (2, 1.0, 0.3333), (5, 4.0, 0.5541), (10, 8.0, 0.4092)]
)
def test_erlang_c_agrees_with_tables(servers: int, offered: float, probability: float) -> None:
    assert erlang_c(servers, offered) == pytest.approx(probability, abs=5e-5)


@given(st.floats(0.01, 0.99), st.integers(1, 20))
def test_one_shared_queue_is_never_worse_than_round_robin_nor_that_than_random(used: float, servers: int) -> None:
    arrivals = used * servers
    shared, turns, alone = mmc(servers, arrivals, 1), round_robin(servers, arrivals, 1), mm1(used, 1)
    assert 1 - 1e-9 <= shared <= turns * (1 + 1e-9)
    assert turns <= alone * (1 + 1e-9)


@given(st.floats(0.01, 0.99))
def test_one_replica_is_m_m_1_whatever_the_policy(used: float) -> None:
    assert mmc(1, used, 1) == pytest.approx(mm1(used, 1))
    assert round_robin(1, used, 1) == pytest.approx(mm1(used, 1))


def test_replicas_that_cannot_keep_up_have_no_response_time() -> None:
    assert mm1(2, 1) == mmc(2, 2, 1) == round_robin(2, 2, 1) == math.inf
    assert erlang_c(2, 2) == 1


@pytest.mark.parametrize(("servers", "offered"), [(0, 1.0), (1, -1.0)])
def test_erlang_c_needs_servers_and_a_load(servers: int, offered: float) -> None:
    with pytest.raises(ValueError, match="at least one server"):
        erlang_c(servers, offered)


def test_hash_imbalance_is_exact_for_few_clients_and_vanishes_with_many() -> None:
    assert imbalance(1, 3) == pytest.approx(3)
    assert imbalance(2, 2) == pytest.approx((2 * 0.5 + 1 * 0.5) / 1)
    assert imbalance(3, 3) == pytest.approx((3 * 3 + 2 * 18 + 1 * 6) / 27)
    assert imbalance(300, 3) == pytest.approx(1 + 0.8463 * math.sqrt(3 / 300), abs=0.002)
    with pytest.raises(ValueError, match="at least one client"):
        imbalance(0, 3)


@pytest.mark.parametrize(
    ("policy", "formula"), [("round-robin", round_robin(3, 225, 100)), ("source-ip-hash", mm1(75, 100))]
)
def test_the_simulation_agrees_with_the_formula(policy: str, formula: float) -> None:
    assert simulate(policy, 225, [100] * 3).mean == pytest.approx(formula, rel=0.08)


@pytest.mark.parametrize("used", [0.3, 0.6, 0.9])
def test_least_connections_lies_between_one_shared_queue_and_the_other_policies(used: float) -> None:
    means = {policy: simulate(policy, 150 * used, [50] * 3).mean for policy in POLICIES}
    assert mmc(3, 150 * used, 50) * 0.95 < means["least-connections"] < means["round-robin"] < means["source-ip-hash"]


def test_a_slow_replica_gets_fewer_requests_only_under_least_connections() -> None:
    answered = {policy: simulate(policy, 30, [50, 50, 12.5]).answered for policy in POLICIES}
    assert max(answered["round-robin"]) - min(answered["round-robin"]) <= 1
    assert answered["least-connections"][2] < answered["least-connections"][0] * 0.6
    assert answered["source-ip-hash"][2] > sum(answered["source-ip-hash"]) * 0.3


def test_equal_connections_share_requests_as_the_inverse_of_the_response_time() -> None:
    assert shares_of_equal_connections([1, 1, 2]) == pytest.approx([0.4, 0.4, 0.2])


@pytest.mark.parametrize(("policy", "slow"), measured.POLICIES)
def test_the_simulation_reproduces_what_was_measured(policy: str, slow: float) -> None:
    service, arrivals, mean, p95 = measured.POLICIES[policy, slow]
    simulated = simulate(policy, arrivals, [service, service, service * slow], clients=1000)
    # Under a hash, a slow replica is nearly full: which clients come how often decides how long its queue is.
    rel = 0.7 if (policy, slow) == ("source-ip-hash", 0.25) else 0.2
    assert simulated.mean == pytest.approx(mean, rel=rel)
    assert simulated.p95 == pytest.approx(p95, rel=rel)


@pytest.mark.parametrize("client", range(6))
def test_the_hash_of_a_client_is_that_of_nginx(client: int) -> None:
    found = asyncio.run(measure(EDGE, "source-ip-hash", 100, [1000] * 3, clients=1, first=client, requests=3))
    assert found.answered[home(address(client), 3)] == 3


@pytest.mark.parametrize("policy", POLICIES)
def test_the_edge_shares_requests_as_the_simulation_says(policy: str) -> None:
    services = [250, 250, 62.5]
    found = asyncio.run(measure(EDGE, policy, 150, services, clients=1000, requests=300))
    shares = [each / sum(found.answered) for each in found.answered]
    expected = simulate(policy, 150, services, clients=1000)
    assert shares == pytest.approx([each / sum(expected.answered) for each in expected.answered], abs=0.1)


def test_another_policy_is_no_policy_of_the_edge() -> None:
    with pytest.raises(ValueError, match="random is no policy"):
        simulate("random", 1, [2])
