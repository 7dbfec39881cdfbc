"""Panels that need kube-state-metrics, or a container that is killed: promtool runs their queries on such series."""

import json
import subprocess
from pathlib import Path

import pytest
from panels import panels, queries

from chassis.local.system import program

HPA = 'namespace="quayside", horizontalpodautoscaler='
ORDER = 'namespace="quayside", pod="order-1", container="order"'
SERIES = {
    f'kube_horizontalpodautoscaler_status_desired_replicas{{{HPA}"order"}}': "3x60",
    f'kube_horizontalpodautoscaler_spec_max_replicas{{{HPA}"order"}}': "3x60",
    f'kube_horizontalpodautoscaler_status_desired_replicas{{{HPA}"catalog"}}': "1x60",
    f'kube_horizontalpodautoscaler_spec_max_replicas{{{HPA}"catalog"}}': "4x60",
    f'container_start_time_seconds{{{ORDER}, id="/1"}}': "100x55",
    f'container_start_time_seconds{{{ORDER}, id="/2"}}': "_x56 200x4",
    f'container_oom_events_total{{{ORDER}, id="/1"}}': "0x55 1x5",
    f'container_spec_cpu_shares{{{ORDER}, id="/2"}}': "512x60",
    f'container_cpu_usage_seconds_total{{{ORDER}, id="/2"}}': "0+15x60",
}
"""Two autoscalers, one at its limit, and a container that is killed, starts again and uses half of what it requests."""
REPLICAS = 'kube_horizontalpodautoscaler_{}{{horizontalpodautoscaler="{}", namespace="quayside"}}'.format
SHOWN = {
    "Autoscalers at their limit (kube-state-metrics)": [{"{}": 1}],
    "Replicas that an autoscaler wants (kube-state-metrics)": [
        {REPLICAS("status_desired_replicas", "order"): 3, REPLICAS("status_desired_replicas", "catalog"): 1},
        {REPLICAS("spec_max_replicas", "order"): 3, REPLICAS("spec_max_replicas", "catalog"): 4},
    ],
    "Restarts in an hour": [{"{}": 1}],
    "Restarts by pod": [{'{pod="order-1"}': 1}, {'{pod="order-1"}': 1}],
    "CPU against requests": [{'{pod="order-1"}': 0.5}],
}
"""What each query of a panel shows then."""


@pytest.mark.parametrize("title", SHOWN)
def test_a_panel_shows_what_the_series_say(title: str, tmp_path: Path) -> None:
    asked = [query for query in queries("kubernetes") if query.title == title]
    tests = [
        {
            "expr": query.prepared("5m", namespace="quayside"),
            "eval_time": "1h",
            "exp_samples": [{"labels": labels, "value": value} for labels, value in shown.items()],
        }
        for query, shown in zip(asked, SHOWN[title], strict=True)
    ]
    series = [{"series": name, "values": values} for name, values in SERIES.items()]
    file = tmp_path / "test.yaml"  # JSON is YAML
    file.write_text(json.dumps({"tests": [{"interval": "1m", "input_series": series, "promql_expr_test": tests}]}))

    done = subprocess.run([program("promtool"), "test", "rules", file], capture_output=True, text=True, timeout=30)

    assert done.returncode == 0, done.stdout + done.stderr


def test_each_panel_that_needs_kube_state_metrics_is_tested() -> None:
    assert {panel["title"] for panel in panels("kubernetes") if "kube-state-metrics" in panel["title"]} <= set(SHOWN)
