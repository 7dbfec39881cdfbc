"""The shell blocks of a page, as tests that run in order in one shell, as a learner types them into one terminal.

A block must succeed, unless the comment `<!-- fails: why -->` stands before it. A fence marked `text` after it shows
its output: `…` alone on a line stands for any lines, within a line for any characters; blanks count as one, because
columns vary. `<!--- skip: next "why" -->` leaves out a block that cannot run here, and is counted. After a failure,
only the blocks below the heading `Reset` still run.

A page names its runtime in front (`runtime: cluster`), and whether a shop must be installed before (`needs: shop`).
"""

import os
import queue
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from sybil import Document, Example, Region, Sybil
from sybil.parsers.markdown import SkipParser

from shopctl.labs.page import front_matter

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^( *)```(sh|text)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
FAILS = re.compile(r"<!-- fails: .+ -->\s*\Z")
CONFIG = tempfile.TemporaryDirectory()
"""For a copy of the clusters' file, which holds credentials; removed when pytest ends."""
WITHIN = 420.0
"""Seconds in which a block must end."""


@dataclass(frozen=True)
class Block:
    """A shell block with the output that the page shows, if any."""

    source: str
    shown: str | None
    may_fail: bool
    resets: bool


def parse(document: Document) -> Iterator[Region]:
    """Yields a region for each shell block, which includes the output below it."""
    fences = list(FENCE.finditer(document.text))
    taken = set()
    for fence, after in zip_longest(fences, fences[1:]):
        if fence[2] != "sh":
            assert fence.start() in taken, f"{document.path}: output without a block above it: {fence[3]}"
            continue
        shows = after and after[2] == "text" and not document.text[fence.end() : after.start()].strip()
        if after and shows:
            taken.add(after.start())
        before = document.text[: fence.start()]
        headings = re.findall(r"^## (.+)$", before, re.MULTILINE)
        block = Block(
            source=unindented(fence[3], fence[1]),
            shown=unindented(after[3], after[1]) if after and shows else None,
            may_fail=bool(FAILS.search(before)),
            resets=headings[-1:] == ["Reset"],
        )
        yield Region(fence.start(), fence.end(), block, evaluate)


def unindented(text: str, indent: str) -> str:
    return re.sub(f"^{indent}", "", text, flags=re.MULTILINE)


def evaluate(example: Example) -> str | None:
    """Runs a block. Returns what is wrong with it, or None."""
    __tracebackhide__ = True
    block: Block = example.parsed
    if example.namespace.get("failed") and not block.resets:
        pytest.skip("a block before it failed")
    said, status = example.namespace["terminal"].run(block.source)
    wrong = None
    if status and not block.may_fail:
        wrong = f"exit status {status}"
    elif block.may_fail and not status:
        wrong = "it did not fail, as the page says"
    elif block.shown is not None and not matches(block.shown, said):
        wrong = f"the page shows:\n{block.shown}"
    if wrong:
        example.namespace["failed"] = True
        return f"{block.source}\n{wrong}\nit printed:\n{said}"
    return None


def matches(shown: str, said: str) -> bool:
    """Whether an output is as the page shows it."""
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == "…" else one_line(line) + r"\n" for line in shown.strip("\n").split("\n")
    )
    clean = "".join(f"{with_single_blanks(line)}\n" for line in said.strip().splitlines())
    return re.fullmatch(pattern, clean) is not None


def one_line(line: str) -> str:
    return re.escape(with_single_blanks(line)).replace("…", ".*")


def with_single_blanks(line: str) -> str:
    return " ".join(line.split())


class Terminal:
    """A shell in the clone. The blocks of one page share its variables, its directory and its background processes."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.block = Path(self.folder.name, "block.sh")
        self.shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.lines = queue.Queue[str | None]()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.shell.stdout
        for line in self.shell.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def run(self, source: str) -> tuple[str, int]:
        """Runs a block. Returns what it printed, and the status of the first command that failed, or 0."""
        assert self.shell.stdin
        end = f"end-of-block-{os.urandom(8).hex()}"
        self.block.write_text(source)
        self.shell.stdin.write(f"trap 'failed=${{failed:-$?}}' ERR; . {self.block} </dev/null; trap - ERR\n")
        self.shell.stdin.write(f"echo; echo {end} ${{failed:-0}}; unset failed\n")
        self.shell.stdin.flush()
        said, until = "", time.monotonic() + WITHIN
        while True:
            try:
                line = self.lines.get(timeout=max(until - time.monotonic(), 0))
            except queue.Empty:
                return f"{said}\nIt has not ended after {WITHIN:.0f} s.", 124
            if line is None:
                return f"{said}\nThe shell has ended.", 1
            if line.startswith(end):
                return said.removesuffix("\n"), int(line.split()[1])
            said += line

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.shell.pid, signal.SIGTERM)
        self.shell.wait(20)
        self.folder.cleanup()


def collected(*patterns: str) -> Callable[..., Any]:
    """Returns the hook of pytest that collects pages below the file of the caller's directory `docs`."""
    pages = Sybil([parse, SkipParser()], patterns=patterns, path=str(ROOT / "docs"), setup=set_up, teardown=tear_down)
    hook: Callable[..., Any] = pages.pytest()
    return hook


def set_up(namespace: dict[str, Any]) -> None:
    namespace["terminal"] = Terminal(environment())


def tear_down(namespace: dict[str, Any]) -> None:
    namespace["terminal"].close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.suffix == ".md":
            item.add_marker(pytest.mark.timeout(WITHIN + 30))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.path.suffix != ".md":
        return
    front = front_matter(item.path.read_text())
    if reason := lacking(front.get("runtime", "")):
        pytest.skip(reason)
    if (front.get("runtime"), front.get("needs")) == ("cluster", "shop"):
        install_shop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Counts the blocks that did not run: by their page's reason, or because this machine lacks the runtime."""

    def count(outcome: str, when: str) -> int:
        reports = terminalreporter.stats.get(outcome, [])
        return sum(".md" in report.nodeid and report.when in when.split() for report in reports)

    ran, left_out = count("passed", "call"), count("skipped", "setup call")
    terminalreporter.write_line(f"{ran} blocks of pages ran, {left_out} did not")


# --- runtimes ------------------------------------------------------------------------------------


@cache
def environment() -> dict[str, str]:
    """The environment of a learner's terminal. The current namespace of its cluster is that of the shop."""
    found = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    found.setdefault("NAMESPACE", "quayside")
    found.setdefault("REGISTRY", "localhost:5000")
    found["KUBECTL_REMOTE_COMMAND_WEBSOCKETS"] = "false"  # they bring errors about streams into the output
    if not lacking("cluster"):
        config = Path(CONFIG.name, "config")
        config.write_text(output("kubectl", "config", "view", "--raw", "--flatten", "--minify"))
        found["KUBECONFIG"] = str(config)
        output("kubectl", "config", "set-context", "--current", f"--namespace={found['NAMESPACE']}", env=found)
    return found


@cache
def lacking(runtime: str) -> str:
    """Returns why a page with this runtime cannot run here, or an empty text."""
    if runtime in ("docker", "compose") and not answers("docker", "version"):
        return "needs a Docker Engine"
    if runtime == "cluster" and not answers("kubectl", "get", "nodes", "--request-timeout=20s"):
        return "needs a cluster"
    return ""


@cache
def install_shop() -> None:
    """Installs the shop with the command that the labs name, unless the lab before has left it."""
    if answers("helm", "status", "shop", env=environment()):
        return
    output("make", "cluster-up", env=environment(), timeout=900)


def answers(*command: str, env: dict[str, str] | None = None) -> bool:
    if not shutil.which(command[0]):
        return False
    return not subprocess.run(command, cwd=ROOT, env=env, capture_output=True, timeout=60, check=False).returncode


def output(*command: str, env: dict[str, str] | None = None, timeout: float = 60) -> str:
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
