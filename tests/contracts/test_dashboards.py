"""Each dashboard can be read and edited, and reads only metrics that exist. `tests/native` runs the queries."""

import re
from collections import Counter
from pathlib import Path

import pytest
from panels import DASHBOARDS, Query, dashboard, panels, queries, rules

ROOT = Path(__file__).parents[2]
EXPORTED = re.compile(
    r"(ALERTS|up|container_|kube_|machine_|nginx_|pg_|process_|prometheus_|alertmanager_|rabbitmq_|redis_|scrape_)"
)
"""Metrics of Prometheus, kubelets and exporters."""
ADDED = {"job", "instance", "le"}
"""Labels that every series may have."""
UIDS = {dashboard(name)["uid"] for name in DASHBOARDS}


def contract() -> dict[str, set[str]]:
    """Returns the labels of each metric in docs/reference/telemetry.md."""
    text = (ROOT / "docs/reference/telemetry.md").read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]
    found = {}
    for line in text.splitlines():
        cells = line.split(" | ")
        for name in re.findall(r"`([a-z_]+)`", cells[0]):
            labels = re.sub(r"\([^()]*\)", "", cells[2]) if len(cells) > 2 else ""
            found[name] = set(re.findall(r"`([a-z_]+)`", labels))
    return found


CONTRACT = contract()
RECORDED = {rule.title for rule in rules("record")}
QUERIES = [query for name in DASHBOARDS for query in queries(name)]


def unknown(query: Query) -> list[str]:
    """Returns the metrics of a query that nothing exports, and the labels that a metric does not have."""
    found = []
    for metric, matchers in query.selectors():
        name = metric if metric in CONTRACT else re.sub(r"_(bucket|count|sum)$", "", metric)
        if name in CONTRACT:
            labels = set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", matchers))
            found += [f"{metric}{{{label}}}" for label in labels - CONTRACT[name] - ADDED]
        elif metric not in RECORDED and not EXPORTED.match(metric):
            found.append(metric)
    return found


def test_the_reader_of_queries_finds_metrics_and_matchers() -> None:
    query = Query("", "", 'sum by (a) (rate(x_total{r="/o/{id}",b=~"c[.]d"}[5m])) / on (a) max(y) > bool 5 or up == 0')

    assert query.selectors() == [("x_total", '{r="/o/{id}",b=~"c[.]d"}'), ("y", ""), ("up", "")]


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_a_query_reads_metrics_and_labels_that_exist(query: Query) -> None:
    assert query.selectors()
    assert unknown(query) == []


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_is_small_and_can_be_imported(name: str) -> None:
    board = dashboard(name)

    assert board["uid"] == f"quayside-{name}"
    assert "id" not in board
    assert board["description"]
    assert board["templating"]["list"][0]["type"] == "datasource"
    assert 8 <= len(panels(name)) <= 14
    assert board["panels"][0]["title"] == "Is it well?"
    assert Counter(panel["title"] for panel in board["panels"]).most_common(1)[0][1] == 1


@pytest.mark.parametrize(("name", "panel"), [(name, panel) for name in DASHBOARDS for panel in panels(name)])
def test_a_panel_says_what_it_shows_and_leads_on(name: str, panel: dict) -> None:
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert all("datasource" not in target for target in panel["targets"])
    assert panel["links"]
    for link in panel["links"]:
        kind, _, rest = link["url"].partition("/")
        if kind == "${runbooks}":
            assert (ROOT / "docs/runbooks" / rest).is_file(), rest
        elif rest.startswith("d/"):
            assert rest.removeprefix("d/").partition("?")[0] in UIDS
        else:
            assert re.match(r"explore\?.*\$\{traces\}", rest), rest


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_fill_the_rows_and_do_not_overlap(name: str) -> None:
    taken = Counter(
        (x, y)
        for panel in dashboard(name)["panels"]
        for at in [panel["gridPos"]]
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    )
    height = max(y for _, y in taken) + 1

    assert taken == Counter((x, y) for x in range(24) for y in range(height))


def test_a_panel_that_needs_kube_state_metrics_says_so() -> None:
    for panel in panels("kubernetes"):
        needs = any("kube_" in target["expr"] for target in panel["targets"])
        assert needs is ("kube-state-metrics" in panel["title"]) is ("kube-state-metrics" in panel["description"])
