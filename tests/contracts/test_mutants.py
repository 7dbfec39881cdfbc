"""Each mutant applies to the code as it is, and names tests that exist; `make mutants` runs them."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PATCHES = sorted((ROOT / "tests" / "mutants").glob("*.patch"))


@pytest.fixture(scope="session")
def mutants() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutants", ROOT / "tools" / "mutants.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["mutants"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_a_mutant_applies_and_its_tests_exist(mutants: ModuleType, patch: Path) -> None:
    subprocess.run(["git", "apply", "--check", patch], cwd=ROOT, check=True)
    for test in mutants.read(patch).tests:
        file, _, name = test.partition("::")
        found = {each.name for each in ast.walk(ast.parse((ROOT / file).read_text())) if hasattr(each, "name")}
        assert name.partition("[")[0] in found, test


PROGRAM = '"""A program that adds."""\n\n\ndef add(a, b):\n    return a + b\n'
TESTS = "from chassis.added import add\n\n\ndef test_it_adds():\n    assert add({}) == 4\n"
PATCH = """Breaks: additions.
Caught by: test_added.py::test_it_adds

--- a/libs/chassis/src/chassis/added.py
+++ b/libs/chassis/src/chassis/added.py
@@ -4,2 +4,2 @@
 def add(a, b):
-    return a + b
+    return a * b
"""


@pytest.mark.parametrize(("numbers", "missed"), [("1, 3", ()), ("2, 2", ("test_added.py::test_it_adds",))])
def test_a_mutant_is_caught_only_if_its_test_fails(
    mutants: ModuleType, tmp_path: Path, numbers: str, missed: tuple[str, ...]
) -> None:
    root, patch = tmp_path / "copy", tmp_path / "adds-wrong.patch"
    module = root / "libs/chassis/src/chassis/added.py"
    module.parent.mkdir(parents=True)
    (module.parent / "__init__.py").touch()
    module.write_text(PROGRAM)
    (root / "test_added.py").write_text(TESTS.format(numbers))
    patch.write_text(PATCH)
    (mutant,) = mutants.chosen([], tmp_path)

    mutants.check_origin(root)
    assert mutants.run(root, mutant.tests, {}).passed
    mutants.apply(mutant.patch, root)
    assert mutants.run(root, mutant.tests, {}).missed == missed

    with pytest.raises(mutants.Wrong, match="does not apply"):
        mutants.apply(mutant.patch, root)
    with pytest.raises(mutants.Wrong, match="could not run"):
        mutants.run(root, ["test_added.py::test_it_subtracts"], {})


def test_a_package_that_does_not_come_from_the_copy_is_found(
    mutants: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "libs/chassis/src/chassis").mkdir(parents=True)
    (tmp_path / "libs/chassis/src/chassis/__init__.py").touch()
    mutants.check_origin(tmp_path)

    monkeypatch.setattr(mutants, "environment", lambda root, urls: dict(os.environ))
    with pytest.raises(mutants.Wrong, match="do not come from the copy"):
        mutants.check_origin(tmp_path)
