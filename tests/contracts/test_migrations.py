"""A migration writes the same schema and rows for ever, so it imports nothing of ours that changes.

import-linter does not see these files: a folder of revisions is no package.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"chassis", *(folder.name for folder in ROOT.glob("services/*/src/*"))}
ALLOWED = {"chassis.ids", "chassis.settings", *(f"{service}.settings" for service in OURS)}


def imports(source: str) -> set[str]:
    """The project's modules that a Python source imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = node.module not in OURS
            found |= {node.module} if whole else {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {module for module in found if module.split(".")[0] in OURS}


LATER = sorted(path for path in ROOT.glob("services/*/src/*/migrations/versions/*.py") if path.name[:4] > "0001")
"""The revisions that may meet rows."""


@pytest.mark.parametrize(
    "revision",
    sorted(ROOT.glob("services/*/src/*/migrations/**/*.py")),
    ids=lambda path: f"{path.parents[2].name}-{path.stem}",
)
def test_a_migration_imports_no_models_tables_or_queries(revision: Path):
    assert imports(revision.read_text()) <= ALLOWED


@pytest.mark.parametrize("revision", LATER, ids=lambda path: f"{path.parents[2].name}-{path.stem}")
def test_an_index_on_a_table_with_rows_is_built_without_blocking_writers(revision: Path):
    """CREATE INDEX alone keeps every writer out until it is done."""
    assert not re.findall(r"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY).*", revision.read_text())


def test_each_way_to_import_is_seen():
    source = "import catalog.models\nfrom catalog import repository\nfrom catalog.settings import Settings\nimport re"

    assert imports(source) == {"catalog.models", "catalog.repository", "catalog.settings"}
