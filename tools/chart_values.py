"""Generates from a chart's values.yaml its strict values.schema.json and the table in its README.md.

    tools/chart_values.py [--check]

The comment above a value describes it; a comment after it may restrict it. Values that a chart imports from the library
chart are included. With `--check` nothing is written, and the exit status is 1 if a file is not up to date.

| comment after a value | allows |
| --- | --- |
| `# one of: a, b` | only these values |
| `# from 1`, `# from 0 to 1`, `# above 0 to 5` | numbers in this range; without a comment, integers from 0 |
| `# like: ^[A-Z]{3}$` | text that matches; also empty text, if that is the default |
| `# a: url` | a kind from `chart_kinds.py` |
| `# each: string`, `# each a: name` | lists of a type or kind |
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from chart_kinds import KINDS

CHARTS = Path(__file__).resolve().parent.parent / "charts"
BEGIN, END = "<!-- values: from values.yaml, by `make format` -->\n", "<!-- end -->\n"


@dataclass
class Value:
    """One value, or a mapping of values. `flow` means that it is written as `{…}` and documented in one row."""

    default: Any = None
    about: str = ""
    rule: dict[str, Any] = field(default_factory=dict)
    flow: bool = False
    below: dict[str, "Value"] = field(default_factory=dict)


def read(path: Path) -> Value:
    """Reads a file of values with its comments."""
    text = path.read_text()
    root = yaml.compose(text, yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode), f"{path}: not a mapping"
    return _value(root, text.splitlines(), yaml.safe_load(text))


def _value(node: yaml.Node, lines: list[str], default: Any) -> Value:
    value = Value(default)
    if isinstance(node, yaml.MappingNode):
        value.flow = bool(node.flow_style)
        for key, child in node.value:
            below = _value(child, lines, default[key.value])
            if not value.flow:
                below.about = _above(lines, key.start_mark.line)
                behind = lines[key.start_mark.line].partition(" # ")[2].strip()
                below.rule = rule(behind)
            value.below[key.value] = below
    return value


def rule(remark: str) -> dict[str, Any]:
    """Returns the part of a schema that a comment stands for."""
    kind, _, rest = remark.partition(": ")
    match kind:
        case "one of":
            return {"enum": [word.strip() for word in rest.split(",")]}
        case "like":
            return {"pattern": rest}
        case "a":
            return KINDS[rest]
        case "each":
            return {"items": {"type": rest}}
        case "each a":
            return {"items": KINDS[rest]}
    first, _, bounds = kind.partition(" ")
    if first in ("from", "above"):
        names = ("minimum" if first == "from" else "exclusiveMinimum", "maximum")
        return dict(zip(names, map(int, bounds.split(" to ")), strict=False))
    return {}


def _above(lines: list[str], line: int) -> str:
    found: list[str] = []
    while line and lines[line - 1].strip().startswith("#"):
        line -= 1
        found.insert(0, lines[line].strip().removeprefix("#").strip())
    return " ".join(found)


def merge(value: Value, imported: Value) -> None:
    """Adds to `value` what it does not define itself."""
    value.about = value.about or imported.about
    value.rule = value.rule or imported.rule
    for key, other in imported.below.items():
        if key in value.below:
            merge(value.below[key], other)
        else:
            value.below[key] = other


def of_chart(chart: Path, library: Value) -> tuple[Value, list[str]]:
    """Returns a chart's values, including imported ones, and the names of its subcharts."""
    facts = yaml.safe_load((chart / "Chart.yaml").read_text())
    values, inner = read(chart / "values.yaml"), []
    for dependency in facts.get("dependencies", []):
        inner.append(dependency["name"])
        for each in dependency.get("import-values", []):
            group, parent = (each, None) if isinstance(each, str) else (each["child"], each["parent"])
            imported = library.below["exports"].below[group.removeprefix("exports.")]
            merge(values.below[parent] if parent else values, imported)
    return values, inner


def schema(value: Value) -> dict[str, Any]:
    """Returns the JSON Schema of a value. Mappings allow no other keys, unless their kind does."""
    about = {"description": value.about} if value.about else {}
    if value.rule.get("type") == "object":
        return {**about, **value.rule}
    if isinstance(value.default, dict) or value.below:
        properties = {key: schema(below) for key, below in value.below.items()}
        return {**about, "type": "object", "properties": properties, "additionalProperties": False}
    if "enum" in value.rule:
        return {**about, **value.rule}
    if isinstance(value.default, bool):
        return {**about, "type": "boolean"}
    if isinstance(value.default, int):
        return {**about, "type": "integer", "minimum": 0, **value.rule}
    kind = {list: "array", float: "number"}.get(type(value.default), "string")
    found = {**about, "type": kind, **value.rule}
    if "pattern" in found and value.default == "":
        found["pattern"] = f"^$|{found['pattern']}"
    return found


def chart_schema(values: Value, inner: list[str]) -> str:
    """Returns the schema of a chart. A subchart is checked by its own schema."""
    found = schema(values)
    for name in inner:
        found["properties"][name] = {"type": "object"}
    if "global" not in found["properties"]:
        found["properties"] |= {"global": {"type": "object"}, "enabled": {"type": "boolean"}}
    found = {"$schema": "https://json-schema.org/draft-07/schema#", **found}
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def rows(value: Value, path: str = "") -> Iterator[str]:
    """Yields the rows of a Markdown table, one for each value."""
    for key, below in value.below.items():
        name = f"{path}{key}"
        if below.below and not below.flow:
            if below.about:
                yield f"| `{name}` | | {below.about} |"
            yield from rows(below, f"{name}.")
        else:
            default = json.dumps(below.default, ensure_ascii=False) if below.default not in ("", None) else ""
            about = " ".join(filter(None, [below.about, allowed(below.rule)]))
            yield f"| `{name}` | {f'`{default.strip(chr(34))}`' if default else ''} | {about} |"


def allowed(rule: dict[str, Any]) -> str:
    """Describes a rule in words."""
    if "enum" in rule:
        return "({})".format(" or ".join(f"`{each}`" for each in rule["enum"] if each))
    if "exclusiveMinimum" in rule:
        return f"(more than {rule['exclusiveMinimum']}, up to {rule['maximum']})"
    if "maximum" in rule:
        return f"({rule['minimum']} to {rule['maximum']})"
    return f"({rule['minimum']} or more)" if rule.get("minimum") else ""


def readme(text: str, values: Value) -> str:
    """Returns the text of README.md with the new table. Raises ValueError if its place is not marked."""
    before, _, rest = text.partition(BEGIN)
    _, marked, after = rest.partition(END)
    if not marked:
        raise ValueError(f"no place for the table, which {BEGIN!r} and {END!r} mark")
    table = ["| value | default | what |", "| --- | --- | --- |", *rows(values)]
    return before + BEGIN + "\n" + "\n".join(table) + "\n\n" + END + after


def main() -> None:
    library = read(CHARTS / "common" / "values.yaml")
    stale = []
    for chart in sorted(path.parent for path in CHARTS.glob("*/Chart.yaml") if path.parent.name != "common"):
        values, inner = of_chart(chart, library)
        wanted = {
            chart / "values.schema.json": chart_schema(values, inner),
            chart / "README.md": readme((chart / "README.md").read_text(), values),
        }
        for path, text in wanted.items():
            if not path.exists() or path.read_text() != text:
                stale.append(path.relative_to(CHARTS.parent))
                if "--check" not in sys.argv:
                    path.write_text(text)
    if stale:
        print(*(f"{path}: {'not up to date' if '--check' in sys.argv else 'written'}" for path in stale), sep="\n")
    sys.exit(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    main()
