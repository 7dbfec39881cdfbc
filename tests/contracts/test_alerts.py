"""Each alert of deploy/prometheus/rules has a unit test, a runbook and the annotations that its reader needs.

`promtool` runs the unit tests in deploy/prometheus/tests.
"""

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import panels
import pytest
import yaml

from chassis.local.system import program

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = sorted(PROMETHEUS.glob("rules/*.yaml"))
TESTS = sorted(PROMETHEUS.glob("tests/*.yaml"))
RUNBOOKS = ROOT / "docs" / "runbooks"
OTHERS = ("pg_", "redis_", "rabbitmq_", "nginx_", "kube_", "certmanager_")
"""How metrics of the exporters begin."""


def rules() -> list[dict[str, Any]]:
    files = [yaml.safe_load(path.read_text()) for path in RULES]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


ALERTS = [rule for rule in rules() if "alert" in rule]
NAMES = sorted({alert["alert"] for alert in ALERTS})


def promtool(*arguments: object) -> None:
    command = [program("promtool"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_and_is_silent_as_its_unit_test_says() -> None:
    promtool("test", "rules", *TESTS)


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_test_lets_the_alert_fire_and_another_one_expects_silence(name: str) -> None:
    expected = {severity for alert, severity in expectations() if alert == name}
    assert expected == {"", *(alert["labels"]["severity"] for alert in ALERTS if alert["alert"] == name)}


@cache
def expectations() -> set[tuple[str, str]]:
    """Returns the alerts that unit tests expect, with their severity; it is empty for an alert that must not fire."""
    return {
        (case["alertname"], each["exp_labels"]["severity"] if each else "")
        for path in TESTS
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test.get("alert_rule_test", ())
        for each in case.get("exp_alerts") or [None]
    }


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: f"{alert['alert']}-{alert['labels']['severity']}")
def test_an_alert_says_how_urgent_it_is_what_happens_and_where_help_is(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert alert.get("for", "0s") in ("0s", "10s", "15s", "30s", "1m", "2m")
    assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
    page = f"docs/runbooks/{alert['alert']}.md"
    assert alert["annotations"]["runbook_url"] == "{{ $externalLabels.source }}" + page
    assert (ROOT / page).is_file()


def test_every_runbook_belongs_to_an_alert_and_is_listed() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == set(NAMES)
    listed = re.findall(r"^\| \[(\w+)\]\(\w+\.md\) \|", (RUNBOOKS / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == NAMES


def test_every_metric_is_documented_or_belongs_to_an_exporter() -> None:
    queries = [*panels.rules("alert"), *panels.rules("record")]
    known = documented() | {rule.title for rule in panels.rules("record")} | {"up"}
    unknown = {name for query in queries for name, _ in query.selectors() if name not in known}
    assert {name for name in unknown if not name.startswith(OTHERS)} == set()


@cache
def documented() -> set[str]:
    """Returns the metrics in docs/reference/telemetry.md, those of a histogram with their suffixes."""
    found = set[str]()
    for line in (ROOT / "docs/reference/telemetry.md").read_text().splitlines():
        if line.startswith("| `"):
            _, first, second, *_ = line.split("|")
            for name in re.findall(r"`(\w+)`", first):
                histogram = second.strip() == "histogram"
                found |= {f"{name}_{end}" for end in ("bucket", "count", "sum")} if histogram else {name}
    return found


def test_the_queries_in_runbooks_are_valid(tmp_path: Path) -> None:
    groups = []
    for page in RUNBOOKS.glob("*.md"):
        queries = re.findall(r"```promql\n(.*?)```", page.read_text(), re.DOTALL)
        recorded = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
        groups.append({"name": page.stem, "rules": recorded})
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": groups}))
    promtool("check", "rules", file)


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_has_its_parts(name: str) -> None:
    headings = re.findall(r"^#+ (.*)", (RUNBOOKS / f"{name}.md").read_text(), re.MULTILINE)
    assert headings == [name, "What shoppers feel", "How to look", "How to mend", "How to know that it is over"]
