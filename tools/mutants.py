"""Breaks one safety of the shop at a time, in a copy of this clone, and shows which test catches it.

    tools/mutants.py [NAME…]

Without names it takes all patches of tests/mutants; the README there describes them. The exit status is 0 if every
mutant is caught, 1 if one survives, and 2 if a patch or one of its tests is wrong.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from chassis.local.processes import StartError
from chassis.testing import stores
from shopctl import services
from shopctl.definitions import render, template

ROOT = Path(__file__).resolve().parents[1]
PATCHES = ROOT / "tests" / "mutants"
SECONDS = 240
"""The longest time for the tests of one mutant. A single test has SECONDS_EACH."""
SECONDS_EACH = 60
LANES = 2
"""The number of mutants that run at once."""
Urls = dict[str, str]
"""The variables that make tests use running stores."""
ORIGINS = """
import importlib.util, sys
for name in sys.argv[1:]:
    print(importlib.util.find_spec(name).origin)
"""


class Wrong(Exception):
    """A patch, or a test that it names, must be corrected. The message says which."""


@dataclass(frozen=True)
class Mutant:
    """A patch with its header: what it breaks, and the tests each of which catches that."""

    patch: Path
    breaks: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.patch.stem


@dataclass(frozen=True)
class Outcome:
    """`passed` says whether all tests passed; `missed` are those that did not fail; `output` is what pytest printed."""

    passed: bool
    missed: tuple[str, ...]
    seconds: float
    output: str


def read(patch: Path) -> Mutant:
    """Reads the header of a patch. Raises Wrong if a line is missing."""
    header = patch.read_text().partition("\n---")[0]
    breaks = re.findall(r"^Breaks: (.+)$", header, re.MULTILINE)
    tests = re.findall(r"^Caught by: (\S+)$", header, re.MULTILINE)
    if len(breaks) != 1 or not tests:
        raise Wrong(f"{patch.name}: it needs one line `Breaks: …` and a line `Caught by: FILE::TEST` for each test")
    return Mutant(patch, breaks[0], tuple(tests))


def chosen(names: Sequence[str], folder: Path = PATCHES) -> list[Mutant]:
    """Returns the mutants of these names; without names, all of them. Raises Wrong for an unknown name."""
    patches = {patch.stem: patch for patch in sorted(folder.glob("*.patch"))}
    if unknown := [name for name in names if name not in patches]:
        raise Wrong(f"There is no mutant {', '.join(unknown)}; there are {', '.join(patches)}.")
    return [read(patches[name]) for name in names or patches]


def copy(to: Path) -> None:
    """Copies the files of this clone, including those that are not committed yet."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout.decode()
    for name in listed.strip("\0").split("\0"):
        if os.path.lexists(ROOT / name):
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name, follow_symlinks=False)


def apply(patch: Path, to: Path) -> None:
    """Applies a patch to a copy. Raises Wrong if it does not fit."""
    # Without the ceiling, git would ignore a copy that is inside another repository.
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(to.parent)}
    done = subprocess.run(["git", "apply", patch], cwd=to, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Wrong(f"{patch.name} does not apply: {done.stderr.strip()}")


def environment(root: Path, urls: Urls) -> dict[str, str]:
    """Returns the environment in which Python imports the packages of a copy, and tests use running stores.

    PYTHONPATH precedes the `.pth` files of the virtual environment, which point to this clone. No bytecode is stored,
    because Python would not notice a patch within the same second that keeps a file's size.
    """
    sources = sorted(str(source) for source in root.glob("*/*/src"))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    python = {"PYTHONPATH": os.pathsep.join(sources), "PYTHONDONTWRITEBYTECODE": "1"}
    return inherited | urls | python | {"TEST_STORES": "native"}


def check_origin(root: Path) -> None:
    """Raises Wrong unless Python imports each of our packages from the copy."""
    packages = sorted(init.parent.name for init in root.glob("*/*/src/*/__init__.py"))
    command = [sys.executable, "-c", ORIGINS, *packages]
    done = subprocess.run(command, cwd=root, env=environment(root, {}), capture_output=True, text=True, check=True)
    origins = [Path(line) for line in done.stdout.splitlines()]
    if elsewhere := [str(origin) for origin in origins if not origin.is_relative_to(root)]:
        raise Wrong(f"These packages do not come from the copy, so a mutant would not be tested: {elsewhere}")


def run(root: Path, tests: Sequence[str], urls: Urls) -> Outcome:
    """Runs tests in a copy. Raises Wrong if pytest cannot run them, or takes too long."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--timeout={SECONDS_EACH}", *tests]
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=environment(root, urls),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Wrong(f"{', '.join(tests)}: no result within {SECONDS} s") from None
    if done.returncode not in (0, 1):
        raise Wrong(f"pytest could not run {', '.join(tests)}:\n{done.stdout}")
    # A parametrized test counts as failed if it fails with one of its parameters. An error of a fixture does not count.
    failed = {line.split(" ")[1].partition("[")[0] for line in done.stdout.splitlines() if line.startswith("FAILED ")}
    missed = tuple(test for test in tests if test.partition("[")[0] not in failed)
    return Outcome(done.returncode == 0, missed, time.monotonic() - began, done.stdout)


@contextmanager
def lanes() -> Iterator["SimpleQueue[Urls]"]:
    """Yields the variables that make tests use stores of their own, once for each lane. The stores stop at the end.

    Tests empty queues and caches, so each lane has its own; their databases have different names.
    """
    shop = services.load(ROOT)
    definitions = json.loads(render(template(shop), {user: user for user in shop.broker_users}))
    free = SimpleQueue[Urls]()
    with ExitStack() as stack:
        postgres = stack.enter_context(stores.postgres())
        for _ in range(LANES):
            valkey = stack.enter_context(stores.valkey())
            rabbitmq = stack.enter_context(stores.rabbitmq(definitions))
            free.put({"TEST_POSTGRES_URL": postgres, "TEST_VALKEY_URL": valkey, "TEST_RABBITMQ_URL": rabbitmq})
        yield free


def run_mutant(mutant: Mutant, original: Path, free: "SimpleQueue[Urls]") -> Outcome:
    """Runs the tests of a mutant in a copy of the copy, as soon as a lane is free."""
    urls = free.get()
    mutated = original.with_name(mutant.name)
    try:
        shutil.copytree(original, mutated, symlinks=True)
        apply(mutant.patch, mutated)
        return run(mutated, mutant.tests, urls)
    finally:
        shutil.rmtree(mutated, ignore_errors=True)
        free.put(urls)


def main(names: Sequence[str]) -> int:
    mutants = chosen(names)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, lanes() as free:
        original = Path(folder, "original")
        copy(original)
        check_origin(original)
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        print(f"{len(tests)} tests without a mutant …", flush=True)
        urls = free.get()
        if not (outcome := run(original, tests, urls)).passed:
            raise Wrong(f"These tests fail without a mutant:\n{outcome.output}")
        free.put(urls)
        with ThreadPoolExecutor(LANES) as pool:
            try:
                running = [pool.submit(run_mutant, mutant, original, free) for mutant in mutants]
                survived = [
                    mutant.name
                    for mutant, future in zip(mutants, running, strict=True)
                    if not caught(mutant, future.result())
                ]
            finally:
                pool.shutdown(cancel_futures=True)
    print(f"{len(mutants) - len(survived)} of {len(mutants)} mutants caught.")
    return bool(survived)


def caught(mutant: Mutant, outcome: Outcome) -> bool:
    """Prints a row of the table, and returns whether each test of the mutant failed."""
    verdict = "SURVIVED" if outcome.missed else "CAUGHT"
    by = ", ".join(test.rpartition("::")[2] for test in outcome.missed or mutant.tests)
    print(f"{verdict:8}  {mutant.name:32}  {outcome.seconds:5.1f} s  {by}", flush=True)
    if outcome.missed:
        print(f"It breaks: {mutant.breaks}\n{outcome.output}")
    return not outcome.missed


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it removes its copies
    try:
        sys.exit(main(sys.argv[1:]))
    except (Wrong, StartError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
