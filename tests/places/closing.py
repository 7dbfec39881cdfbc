"""Closes a gap as its message says: adds the lines in the named place of the file, as a person would."""

import re
from pathlib import Path

import yaml

__all__ = ["close"]

GAP = re.compile(r"(\S+): (.+); add(?: to (.+))?:\n((?: {4}.*\n?)+)")
BEFORE = {
    "the upstreams": r"^upstream ",
    "server": r"^( *)location /api",
    "$edge_service": r'^( *)"~ \(\?<edge_route>',
    "the list": r"^<li><a href=",
    "the table of services": r"^\| catalog ",
    "the diagram": r"^( *)catalog ---",
}
"""Places without a path. The lines go before the first line that matches, with its indentation."""


def close(root: Path, gap: str) -> Path:
    """Adds the lines, and returns the file. Raises ValueError if the message does not say what to add where."""
    found = GAP.match(gap)
    if found is None:
        raise ValueError(f"the message names no lines to add: {gap}")
    name, what, where, indented = found.groups()
    file, lines = root / name, [line.removeprefix("    ") for line in indented.splitlines()]
    text = file.read_text(encoding="utf-8")
    if where is None:
        text += _joined(lines)
    elif where in BEFORE:
        text = _before(text, BEFORE[where], lines)
    elif file.suffix == ".yaml":
        text = _in_yaml(text, where.split("."), lines)
    else:
        text = _in_list(text, what, where, lines[0])
    file.write_text(text, encoding="utf-8")
    return file


def _joined(lines: list[str], indentation: str = "") -> str:
    return "".join(f"{indentation}{line}\n" for line in lines)


def _before(text: str, pattern: str, lines: list[str]) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    assert found, f"no line matches {pattern}"
    return text[: found.start()] + _joined(lines, "".join(found.groups())) + text[found.start() :]


def _in_yaml(text: str, path: list[str], lines: list[str]) -> str:
    """Adds lines after the last child of a block. Of a list on the way, the path leads through its only item."""
    node = yaml.compose(text)
    for key in path:
        if isinstance(node, yaml.SequenceNode):
            (node,) = node.value
        assert isinstance(node, yaml.MappingNode)
        (node,) = (value for each, value in node.value if each.value == key)
    indentation, end = " " * node.start_mark.column, node.end_mark.line
    before, after = (rows := text.splitlines(keepends=True))[:end], rows[end:]
    while not before[-1].strip() or before[-1].lstrip().startswith("#"):
        after.insert(0, before.pop())
    return "".join(before) + _joined(lines, indentation) + "".join(after)


def _in_list(text: str, what: str, where: str, item: str) -> str:
    """Adds an item to a list in TOML or HCL, or to a path with colons; `what` may name a contract of import-linter."""
    key = re.findall(r"\w+", where.partition(",")[0])[-1]
    contract = re.match(r"'(.+)' leaves", what)
    start = text.index(f'name = "{contract[1]}"') if contract else 0
    found = re.compile(rf'^{key} = ([\["])', re.MULTILINE).search(text, start)
    assert found, f"no list {key}"
    return text[: found.end()] + item + (", " if found[1] == "[" else ":") + text[found.end() :]
