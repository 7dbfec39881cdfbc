"""`make new-service` in a copy of this clone: added everywhere, the service passes every check and runs in the shop."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from places.closing import close
from shopper import Admin, Shopper, until

from shopctl.native import ports
from shopctl.place import Place

pytestmark = pytest.mark.timeout(240)

ROOT = Path(__file__).parents[2]
NAME = "reviews"
MOST_FILES = 12
"""Existing files that a new service may touch; docs/how-to/new-service.md lists them."""
GAPS = """
import json, sys
sys.path[:0] = ["tests", "tests/contracts"]
from test_services import PLACES, SHOP
print(json.dumps([gap for each in SHOP.services for place in PLACES.values() for gap in place.missing(SHOP, each)]))
"""
CONTRACT = """
      schema:
        type: object
        required: [entry_id]
        properties: {entry_id: {type: string, format: uuid}}
      examples:
        - {entry_id: 0198a4e0-0000-7000-8000-000000000001}
"""
CHECKS = (
    ("-m", "pytest", f"services/{NAME}"),
    ("-m", "pytest", "tests/contracts/test_services.py", "tests/contracts/test_messages.py", "-k", NAME),
    ("-m", "mypy", f"services/{NAME}/src"),
    ("-m", "ruff", "check", f"services/{NAME}"),
    ("-m", "ruff", "format", "--check", f"services/{NAME}"),
    ("-m", "yamllint", "--strict", "compose.yaml", "skaffold.yaml", "charts", "tests/contracts"),
    ("-m", "shopctl", "derive", "--check"),
    ("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"),
    ("tools/chart_values.py", "--check"),
)


class Clone:
    """A copy of this clone's files, with a virtual environment of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.python = root / ".venv/bin/python"
        listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(listing, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout.decode()
        for name in listed.strip("\0").split("\0"):
            if os.path.lexists(ROOT / name):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name, follow_symlinks=False)

    def install(self) -> None:
        """Does what `make setup` does, except that the libraries are those of this process: they take long to install.

        Only the `.pth` files of the environment's own directory count, so our packages come from the copy.
        """
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=self.root, check=True)
        (packages,) = (self.root / ".venv").glob("lib/python*/site-packages")
        sources = sorted(str(source) for source in self.root.glob("*/*/src"))
        libraries = [path for path in sys.path if path.endswith("site-packages")]
        (packages / "copy.pth").write_text("\n".join(sources + libraries))

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs Python in the copy."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.run(
            [self.python, *arguments],
            cwd=self.root,
            env=ours | {"PYTHONDONTWRITEBYTECODE": "1"} | environment,
            capture_output=True,
            text=True,
            timeout=180,
        )


def passed(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, f"{done.args}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy with a service that is added wherever the conformance test asks for it."""
    clone = Clone(tmp_path_factory.mktemp("clone"))
    clone.install()
    passed(clone.run("tools/new_service.py", NAME))
    clone.install()
    gaps: list[str] = json.loads(passed(clone.run("-c", GAPS)))
    edited = {
        close(clone.root, gap.replace("\n      schema: …\n      examples: […]", CONTRACT.rstrip())) for gap in gaps
    }
    assert len(edited) <= MOST_FILES
    passed(clone.run("tools/chart_values.py"))
    return clone


@pytest.fixture(scope="module")
def place(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The shop of that copy, running."""
    run = tmp_path_factory.mktemp("shop") / "run"
    offsets = range(22_000, 40_000, 2000)
    numbers = Place(clone.root, run).ports.values()
    offset = next(each for each in offsets if not any(ports.holder(number + each) for number in numbers))
    ours = {"RUNTIME": "native", "SHOP_RUN": str(run), "SHOP_PORT_OFFSET": str(offset)}
    try:
        passed(clone.run("-m", "shopctl", "up", **ours))
        yield Place(clone.root, run, offset)
        passed(clone.run("-m", "shopctl", "audit", "--wait", "60", **ours))
    finally:
        clone.run("-m", "shopctl", "reset", "--yes", **ours)


def test_its_tests_and_the_checks_pass(clone: Clone) -> None:
    with ThreadPoolExecutor(2) as pool:
        for done in pool.map(lambda check: clone.run(*check), CHECKS):
            passed(done)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        *(("Reviews", "lower-case"), ("class", "keyword"), ("json", "module")),
        *((name, "is taken") for name in ("auditor", "databases", "docs", "orders", NAME)),
    ],
)
def test_a_name_that_a_service_cannot_have_is_refused_in_a_line(clone: Clone, name: str, why: str) -> None:
    done = clone.run("tools/new_service.py", name)

    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert done.stderr.startswith(f"{name}: ")
    assert why in done.stderr


def test_its_image_shares_the_libraries_of_the_others(clone: Clone) -> None:
    def libraries(service: str) -> str:
        return (clone.root / f"services/{service}/Dockerfile").read_text().split("\nFROM ")[1]

    assert libraries(NAME) == libraries("catalog")


def test_the_shop_serves_it(place: Place) -> None:
    author, reader = Shopper(place), Shopper(place)
    headers = {"Idempotency-Key": str(uuid4())}
    added = author.http.post(f"/api/{NAME}/entries", json={"text": "Fine mugs"}, headers=headers).raise_for_status()
    location = added.headers["Location"]

    assert any(reader.http.get(location).status_code == 200 for _ in until(20))
    assert reader.http.get(location).json()["state"] == "APPROVED"


def test_orders_still_confirm(place: Place) -> None:
    shopper = Shopper(place)
    order = shopper.buy(Admin(place).product(stock=1))

    assert shopper.waits_for(order) == "CONFIRMED"
