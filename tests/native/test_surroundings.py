"""Tests of `make up` in unusual surroundings: paths with spaces, a strict umask, a proxy that cannot reach 127.0.0.1,
variables of other programs, an ASCII terminal, and a clone that was moved."""

import json
import os
import shutil
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shopctl.edge import http
from shopctl.native import ports
from shopctl.place import Place

pytestmark = pytest.mark.timeout(240)

ROOT = Path(__file__).parents[2]
PARTS = ("Makefile", "deploy", "libs", "requirements", "services", "tools")
PORTS = Place(ROOT, ROOT).ports
NOWHERE = "http://127.0.0.1:9"
SURROUNDINGS = {
    **dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"), NOWHERE),
    **{"ROLE": "worker", "ENVIRONMENT": "staging", "DATABASE_URL": "mysql://elsewhere", "CURRENCY": "USD"},
    **{"ADMIN_EMAIL": "me@elsewhere.example", "ADMIN_PASSWORD": "mine", "PGSSLMODE": "require", "PORT": "80"},
    **{"LOG_LEVEL": "INFO", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONPATH": "/nowhere"},
}


class Clone:
    """A clone with its own state, created under umask 077 in a directory that the servers' users may traverse."""

    def __init__(self, parent: Path) -> None:
        self.root, self.run = parent / "the clone", parent / "its state" / "run"
        offsets = range(12_000, 24_000, 1000)  # below the ports that the system gives to clients
        self.offset = next(each for each in offsets if not any(ports.holder(port + each) for port in PORTS.values()))
        self.address = f"http://localhost:{PORTS['edge'] + self.offset}"
        self.root.mkdir()
        for part in PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, self.root / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / part, self.root / part)
        for path in (self.root, *self.root.rglob("*")):
            path.chmod(path.stat().st_mode & 0o700)
        self.install()

    def install(self) -> None:
        """Does what `make setup` does, with the packages of this test's environment."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=self.root, check=True)
        (packages,) = (self.root / ".venv" / "lib").glob("python*/site-packages")
        sources = [str(each) for each in self.root.glob("*/*/src")]
        (packages / "clone.pth").write_text("\n".join([*sources, *site.getsitepackages()]))
        shopctl = self.root / ".venv" / "bin" / "shopctl"
        shopctl.write_text(f"#!/bin/sh\nexec '{self.root}/.venv/bin/python' -m shopctl \"$@\"\n")
        shopctl.chmod(0o700)
        (self.root / ".venv" / ".installed").touch()

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.call("make", *arguments)

    def agrees(self) -> None:
        """Runs the audit, which waits until the services have reached the broker; they are ready before that."""
        done = self.call(".venv/bin/shopctl", "audit", "--wait", "60")
        assert done.returncode == 0, done.stdout + done.stderr

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        ours = {"RUNTIME": "native", "SHOP_RUN": str(self.run), "SHOP_PORT_OFFSET": str(self.offset)}
        return subprocess.run(
            command,
            cwd=self.root,
            env={**os.environ, **SURROUNDINGS, **ours},
            umask=0o077,
            input="y\n",  # `make reset` asks for confirmation
            capture_output=True,
            text=True,
            timeout=110,
        )

    def move(self, parent: Path) -> None:
        shutil.move(self.root, parent / "elsewhere")
        shutil.move(self.run.parent, parent / "moved state")
        self.root, self.run = parent / "elsewhere", parent / "moved state" / "run"


@pytest.fixture(scope="module")
def clone() -> Iterator[Clone]:
    parent = Path(tempfile.mkdtemp(prefix="a path with spaces "))
    parent.chmod(0o711)
    clone = Clone(parent)
    yield clone
    assert clone.make("reset").returncode == 0
    shutil.rmtree(parent)


def test_the_shop_starts_and_the_audit_passes(clone: Clone) -> None:
    done = clone.make("up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert clone.address in done.stdout
    assert done.stdout.isascii()
    with http.open(f"{clone.address}/.well-known/openid-configuration") as answer:
        assert json.load(answer)["token_endpoint"].startswith(clone.address)
    clone.agrees()


def test_a_moved_clone_gets_a_new_environment_and_keeps_its_shop(clone: Clone) -> None:
    assert "tools/setup.sh" not in clone.make("--dry-run", "up").stdout
    clone.make("down")
    clone.move(clone.root.parent)
    for target in ("up", "status", "down"):
        assert "tools/setup.sh" in clone.make("--dry-run", target).stdout
    clone.install()
    done = clone.make("up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "products are new" not in done.stdout
    clone.agrees()
