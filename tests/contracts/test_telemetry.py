"""The tables of docs/reference/telemetry.md list exactly the metrics of the code: their names, types and labels."""

import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from chassis import edge_exporter
from chassis import metrics as of_every_service

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/telemetry.md").read_text()
SERVICES = sorted(file.parent.name for file in ROOT.glob("services/*/src/*/metrics.py"))
OTHERS = re.compile("process_")
"""Metrics that prometheus_client makes by itself."""


class Metric(NamedTuple):
    name: str
    kind: str
    labels: frozenset[str]


def rows(*headings: str) -> list[dict[str, str]]:
    """The rows of the tables under these headings, by the tables' own columns."""
    found = []
    for heading in headings:
        section = PAGE.split(f"\n### {heading}\n")[1].split("\n## ")[0].split("\n### ")[0]
        lines = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
        columns, _, *cells = [[cell.strip() for cell in line] for line in lines]
        found += [dict(zip(columns, each, strict=True)) for each in cells]
    return found


def documented(rows: Iterable[dict[str, str]]) -> set[Metric]:
    return {
        Metric(name, row["type"], frozenset(re.findall("`([a-z_]+)`", re.sub(r"\([^)]*\)", "", row["labels"]))))
        for row in rows
        for name in re.findall("`([a-z_]+)`", row["metric"])
        if not OTHERS.match(name)
    }


def metric(instrument: MetricWrapperBase) -> Metric:
    suffix = "_total" if instrument._type == "counter" else ""
    return Metric(instrument._name + suffix, instrument._type, frozenset(instrument._labelnames))


def in_code(module: ModuleType) -> set[Metric]:
    return {metric(each) for each in vars(module).values() if isinstance(each, MetricWrapperBase)}


def test_the_metrics_of_every_service_are_those_of_the_page() -> None:
    tables = rows("Every service", "Services with PostgreSQL", "Services with a queue")
    assert in_code(of_every_service) == documented(tables)


def test_the_metrics_of_the_shop_are_those_of_the_page() -> None:
    found = {service: in_code(import_module(f"{service}.metrics")) for service in SERVICES}
    table = rows("Shop")
    assert found == {
        service: documented(row for row in table if row["service"] == service)
        for service in {row["service"] for row in table}
    }


def test_the_metrics_of_the_edge_are_those_of_the_page() -> None:
    registry = CollectorRegistry()
    edge = edge_exporter.Edge(registry)
    found = {metric(each) for each in vars(edge).values() if isinstance(each, MetricWrapperBase)}
    assert found <= documented(rows("Edge"))
    families = {family.name for family in registry.collect()}
    assert families <= {each.name.removesuffix("_total") for each in documented(rows("Edge"))}
