"""How many shoppers come when, and what is remembered of them.

Locust replaces parts of the standard library when it is imported, so a process of its own does that.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shopctl.load.command import SHAPES

LOADTESTS = Path(__file__).parents[2] / "loadtests"
PROGRAM = """
import json
from dataclasses import asdict
from types import SimpleNamespace
from locust.stats import RequestStats
from monitor import thin_out
from shapes import SHAPES

def users(name):
    shape = SHAPES[name]()
    shape.runner = SimpleNamespace(user_classes=[])
    return [shape.during(tenth / 10, 200, 60)[0] for tenth in range(10)]

stats = RequestStats()
for second in range(1_000):
    stats.log_request("GET", "browse", 5, 0)
    for entry in (stats.total, *stats.entries.values()):
        entry.num_reqs_per_sec[second] = 1
    stats.history.append({})
    thin_out(stats, second)

print(json.dumps({
    "users": {name: users(name) for name in ("steady", "ramp", "soak")},
    "waves": {name: [asdict(wave) for wave in SHAPES[name]().waves(1000, 100, {"browser": 1})]
              for name in ("spike", "double11")},
    "questions": {name: shape.__doc__ for name, shape in SHAPES.items()},
    "kept": [sum(each < 1_000 for each in stats.total.num_reqs_per_sec), len(stats.history), stats.total.num_requests],
}))
"""


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=LOADTESTS, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def per_second(wave: dict[str, Any]) -> float:
    return float(wave["visits"] / wave["seconds"])


def test_closed_shapes_have_a_number_of_shoppers(found: dict[str, Any]) -> None:
    assert found["users"]["steady"] == found["users"]["soak"] == [200] * 10
    assert found["users"]["ramp"] == [20, 40, 60, 80, 100, 120, 140, 160, 180, 200]


def test_a_spike_is_ten_times_as_many(found: dict[str, Any]) -> None:
    always, spike = found["waves"]["spike"]

    assert (spike["begin"], spike["seconds"]) == (40, 20)
    assert per_second(always) + per_second(spike) == 10 * per_second(always) == 100


def test_a_sale_has_all_hunters_and_most_of_them_at_once(found: dict[str, Any]) -> None:
    quiet, countdown, rush, late = found["waves"]["double11"]

    assert rush["mix"] == late["mix"] == {"bargain-hunter": 1}
    assert rush["visits"] + late["visits"] == 1000
    assert rush["visits"] == 700
    assert (rush["begin"], rush["seconds"], late["begin"] + late["seconds"]) == (20, 20, 60)
    assert countdown["begin"] + countdown["seconds"] == rush["begin"]
    assert quiet["seconds"] == 100


def test_shopctl_knows_the_shapes(found: dict[str, Any]) -> None:
    assert list(found["questions"]) == list(SHAPES)


def test_each_shape_says_which_question_it_answers(found: dict[str, Any]) -> None:
    assert all("?" in text.splitlines()[0] for text in found["questions"].values())


def test_statistics_do_not_grow_with_the_run(found: dict[str, Any]) -> None:
    seconds, points, requests = found["kept"]

    assert seconds == 61
    assert points <= 400
    assert requests == 1_000
