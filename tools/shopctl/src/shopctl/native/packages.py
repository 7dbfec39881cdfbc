"""The system packages that a shop without Docker needs, and those that its tests need besides."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from chassis.local.system import MissingProgram, postgres_program, program, rabbitmq_program
from shopctl.native.tools import PROGRAMS

_POLICY = Path("/usr/sbin/policy-rc.d")


class PackagesMissing(Exception):
    """Some packages are missing and we may not install them; the message has the command to run."""


def missing(tests: bool = False, observe: bool = False) -> list[str]:
    """The Debian packages that are missing: those of the shop, of its tests, and of the tools that observe it."""
    lookups: dict[str, Callable[[], object]] = {
        "postgresql": lambda: postgres_program("initdb"),
        "redis-server": lambda: program("valkey-server", "redis-server"),
        "rabbitmq-server": lambda: (rabbitmq_program("rabbitmq-server"), program("epmd")),
        "nginx": lambda: program("nginx"),
    }
    if observe or tests:
        lookups |= {package: partial(program, *names) for package, names in PROGRAMS.items()}
    if tests:
        lookups |= {"chromium": browser, "fonts-noto-cjk": _chinese_font}
    return [package for package, look in lookups.items() if _fails(look)]


def browser() -> str:
    """Returns the path of Chromium or Chrome. Raises MissingProgram."""
    return program("chromium", "chromium-browser", "google-chrome")


def _chinese_font() -> None:
    """Raises MissingProgram if this system cannot show Chinese."""
    known = subprocess.run([program("fc-list"), ":lang=zh-cn"], capture_output=True, check=False)
    if not known.stdout:
        raise MissingProgram("fonts-noto-cjk")


def ensure(tests: bool = False, observe: bool = False) -> list[str]:
    """Install missing packages if we are root on Debian; returns what was installed.

    Raises PackagesMissing with the command to run, or with the end of apt-get's output.
    """
    packages = missing(tests, observe)
    if not packages:
        return []
    if os.geteuid() != 0:
        raise PackagesMissing(f"Missing packages. Run:\n\n    sudo apt-get install -y {' '.join(packages)}\n")
    if not Path("/usr/bin/apt-get").exists():
        raise PackagesMissing(f"Missing packages, and this is not Debian. Install: {' '.join(packages)}")
    with _no_system_services():
        _apt_get("update")
        _apt_get("install", "-y", "--no-install-recommends", *packages)
    if left := missing(tests, observe):
        raise PackagesMissing(f"apt-get succeeded, but these are still missing: {' '.join(left)}")
    return packages


@contextlib.contextmanager
def _no_system_services() -> Iterator[None]:
    """Keep the packages from starting servers on the system's ports."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def _apt_get(*arguments: str) -> None:
    done = subprocess.run(
        ["apt-get", "-q", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        umask=0o022,  # everyone may read what it installs
        text=True,
        errors="replace",
    )
    if done.returncode:
        end = "\n".join(done.stdout.splitlines()[-8:])
        raise PackagesMissing(f"apt-get {' '.join(arguments)} failed:\n{end}")


def _fails(look: Callable[[], object]) -> bool:
    try:
        look()
    except MissingProgram:
        return True
    return False
