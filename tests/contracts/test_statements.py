"""SQL statements name their columns, so that a migration that adds one does not affect a running service.

Spans name each statement by a table that it uses.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from chassis.db.statements import summary

ROOT = Path(__file__).parents[2]
NAMELESS = re.compile(
    r"(SELECT|RETURNING)\s+(\w+\.)?\*|,\s*\w+\.\*|INSERT\s+INTO\s+\w+\s+(VALUES|SELECT)", re.IGNORECASE
)


def test_every_statement_names_its_columns() -> None:
    sources = [
        *ROOT.glob("libs/*/src/**/*.py"),
        *ROOT.glob("services/*/src/**/*.py"),
        *ROOT.glob("tools/*/src/**/*.py"),
    ]
    found = [
        f"{source.relative_to(ROOT)}: {match[0]}"
        for source in sources
        for match in NAMELESS.finditer(source.read_text())
    ]

    assert len(sources) > 100
    assert found == []


def statements(source: str) -> Iterator[str]:
    """Yields the statements of a module, with `x` for what is inserted into them."""
    nodes = list(ast.walk(ast.parse(source)))
    parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        text = ""
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
        elif isinstance(node, ast.Constant) and id(node) not in parts:
            text = str(node.value)
        if re.match(r"\s*(SELECT|INSERT INTO|UPDATE [a-z]|DELETE FROM|WITH)\b", text):
            yield text


def test_a_span_names_a_table_of_its_statement() -> None:
    sources = [file.read_text() for file in (*ROOT.glob("libs/*/src/**/*.py"), *ROOT.glob("services/*/src/**/*.py"))]
    tables = set(re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", "\n".join(sources))) | {"alembic_version"}
    found = {text for source in sources for text in statements(source) if "pg_" not in text}

    def is_right(text: str) -> bool:
        table = summary(text).partition(" ")[2]
        return table in tables if table else not tables & set(re.findall(r"(?:FROM|JOIN|INTO|UPDATE) (\w+)", text))

    assert len(found) > 60
    assert not [(summary(text), text) for text in found if not is_right(text)]
