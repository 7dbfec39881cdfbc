"""SQL statements name their columns, so that a migration that adds one does not affect a running service."""

import re
from pathlib import Path

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
