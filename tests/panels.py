"""The queries of Grafana's dashboards and of Prometheus' rules, as tests run them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
DASHBOARDS = {path.stem: path for path in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))}
RULES = sorted((ROOT / "deploy/prometheus/rules").glob("*.yaml"))

STRING = r'"(?:\\.|[^"\\])*"'
LABELS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)")
TOKEN = re.compile(
    rf'{STRING}|\[[^\]]*\]|(?P<name>\b[a-zA-Z_:][\w:]*\b)(?P<matchers>{{(?:[^"{{}}]|{STRING})*}})?(?!\s*\()'
)
WORDS = {"and", "bool", "inf", "nan", "offset", "on", "or", "unless"}


@dataclass(frozen=True)
class Query:
    """A query and where it stands: a panel of a dashboard, or a rule."""

    source: str
    title: str
    expr: str

    def __str__(self) -> str:
        return f"{self.source}: {self.title}"

    def selectors(self) -> list[tuple[str, str]]:
        """Returns the metrics that the query reads, each with its matchers in braces or an empty text."""
        found = TOKEN.finditer(LABELS.sub("", self.expr))
        return [(each["name"], each["matchers"] or "") for each in found if each["name"] not in {None, *WORDS}]

    def prepared(self, window: str = "2m", **variables: str) -> str:
        """Returns the query with Grafana's variables replaced, as it does for "All"."""
        values = {"__rate_interval": window, "__range": window, "__interval": "5s"} | variables
        return re.sub(r"\$(\w+)", lambda found: values.get(found[1], ".*"), self.expr)


def dashboard(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARDS[name].read_text())
    return found


def panels(name: str) -> list[dict[str, Any]]:
    """Returns the panels of a dashboard, without the headings of its rows."""
    return [panel for panel in dashboard(name)["panels"] if panel["type"] != "row"]


def queries(name: str) -> list[Query]:
    """Returns the queries of a dashboard's panels."""
    return [Query(name, panel["title"], target["expr"]) for panel in panels(name) for target in panel["targets"]]


def rules(kind: str) -> Iterator[Query]:
    """Yields the queries of all rules of a kind: `alert` or `record`."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                if kind in rule:
                    yield Query(path.stem, rule[kind], rule["expr"])
