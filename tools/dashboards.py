"""Formats Grafana's dashboards: what fits into a line of 120 characters is on one line.

    tools/dashboards.py [--check]

A panel then takes some twenty lines, and people can edit it. What Grafana adds to an export is removed: its own IDs and
versions. With `--check` nothing is written, and the exit status is 1 if a file has another form.
"""

import json
import sys
from pathlib import Path
from typing import Any

DASHBOARDS = Path(__file__).resolve().parent.parent / "deploy/grafana/dashboards"
WIDTH = 120
OF_GRAFANA = {"id", "version", "iteration"}, {"id", "pluginVersion"}
"""Keys of a dashboard, and of a panel, that Grafana sets by itself."""


def text(dashboard: dict[str, Any]) -> str:
    kept = _without(dashboard, OF_GRAFANA[0])
    kept["panels"] = [_without(panel, OF_GRAFANA[1]) for panel in kept["panels"]]
    return _lines(kept, indent=0, before=0, after=0) + "\n"


def _without(value: dict[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: each for key, each in value.items() if key not in keys}


def _lines(value: Any, indent: int, before: int, after: int) -> str:
    """Returns a value as JSON. On its first line, `before` characters precede it; on its last, `after` follow it."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or before + len(line) + after <= WIDTH:
        return line
    inner = indent + 2
    if isinstance(value, dict):
        begin, end = "{", "}"
        keys = [f"{json.dumps(key, ensure_ascii=False)}: " for key in value]
        items = [key + _lines(each, inner, inner + len(key), 1) for key, each in zip(keys, value.values(), strict=True)]
    else:
        begin, end = "[", "]"
        items = [_lines(each, inner, inner, 1) for each in value]
    return begin + ",".join(f"\n{' ' * inner}{item}" for item in items) + f"\n{' ' * indent}{end}"


def main() -> int:
    check = sys.argv[1:] == ["--check"]
    changed = []
    for path in sorted(DASHBOARDS.glob("*.json")):
        before = path.read_text()
        after = text(json.loads(before))
        if after != before:
            changed.append(path.name)
            if not check:
                path.write_text(after)
    for name in changed:
        print(f"deploy/grafana/dashboards/{name}: " + ("run `make format`" if check else "formatted"))
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
