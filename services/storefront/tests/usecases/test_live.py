"""The live map's data: what many viewers cost, and what is shown while Prometheus does not answer."""

import asyncio
import json
import subprocess
from collections.abc import Sequence

from chassis.errors import Unavailable
from chassis.local.system import program
from storefront.models.live import Curve, Sample
from storefront.usecases import live
from storefront.usecases.live import Live


class Prometheus:
    """Answers with one service that is up and was scraped 12 times in the last minute; counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails = False

    async def now(self, query: str) -> Sequence[Sample]:
        self.asked.append(query)
        await asyncio.sleep(0)
        if self.fails:
            raise Unavailable("prometheus-unavailable", "Prometheus does not answer", "Try again later.")
        return [Sample({"is": "up", "job": "order", "instance": "a"}, 1), Sample({"is": "scrapes"}, 12)]

    async def since(self, query: str, start: float, end: float, step: float) -> Sequence[Curve]:
        self.asked.append(query)
        return [Curve({"is": "orders"}, [(start, 0.0), (end, 1.0)])]


async def test_ten_viewers_cost_one_query_for_numbers_and_one_for_curves(monkeypatch) -> None:
    monkeypatch.setattr(live, "KEPT_SECONDS", 60)
    prometheus = Prometheus()
    map = Live(prometheus)
    seen = await asyncio.gather(*(map.look() for _ in range(10)))
    assert len(prometheus.asked) == 2
    assert all(each.fresh and each.scene is seen[0].scene for each in seen)
    assert await map.look() == seen[0]
    assert len(prometheus.asked) == 2


async def test_the_last_scene_stays_while_prometheus_does_not_answer(monkeypatch) -> None:
    monkeypatch.setattr(live, "KEPT_SECONDS", 0)
    prometheus = Prometheus()
    map = Live(prometheus)
    first = await map.look()
    prometheus.fails = True
    stale = await map.look()
    assert (stale.fresh, stale.scene) == (False, first.scene)
    prometheus.fails = False
    assert (await map.look()).fresh


async def test_without_a_first_answer_there_is_no_scene() -> None:
    prometheus = Prometheus()
    prometheus.fails = True
    seen = await Live(prometheus).look()
    assert (seen.fresh, seen.scene) == (False, None)


async def test_rates_are_taken_over_three_scrapes(monkeypatch) -> None:
    monkeypatch.setattr(live, "KEPT_SECONDS", 0)
    prometheus = Prometheus()
    map = Live(prometheus)
    await map.look()
    await map.look()
    assert "[60s]" in prometheus.asked[0]
    assert "[15s]" in prometheus.asked[2]


def test_a_replica_is_gone_for_two_minutes_and_one_that_does_not_answer_is_not(tmp_path) -> None:
    """`promtool` runs the query: only there can a target end as it does when Prometheus forgets it."""
    series = {"stays": "1x60", "goes": "1x10 stale", "fails": "1x10 0x50"}
    rules = {
        "evaluation_interval": "5s",
        "tests": [
            {
                "interval": "5s",
                "input_series": [
                    {"series": f'up{{job="order",instance="{name}"}}', "values": values}
                    for name, values in series.items()
                ],
                "promql_expr_test": [
                    {"expr": live.NOW["gone"], "eval_time": at, "exp_samples": [{"labels": gone, "value": 1}] * shown}
                    for gone in ['{job="order",instance="goes"}']
                    for at, shown in (("30s", 0), ("90s", 1), ("4m", 0))
                ],
            }
        ],
    }
    file = tmp_path / "gone.yaml"
    file.write_text(json.dumps(rules))
    done = subprocess.run([program("promtool"), "test", "rules", file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
