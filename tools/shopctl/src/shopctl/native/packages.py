"""The system's packages that a shop without Docker stands on."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from chassis.local.system import MissingProgram, postgres_program, program, rabbitmq_program

_POLICY = Path("/usr/sbin/policy-rc.d")


class PackagesMissing(Exception):
    """Some packages are not installed and we may not install them; the message is what to run."""


def missing() -> list[str]:
    """The Debian packages to install."""
    lookups = {
        "postgresql": lambda: postgres_program("initdb"),
        "redis-server": lambda: program("valkey-server", "redis-server"),
        "rabbitmq-server": lambda: (rabbitmq_program("rabbitmq-server"), program("epmd")),
        "nginx": lambda: program("nginx"),
    }
    return [package for package, look in lookups.items() if _fails(look)]


def ensure() -> list[str]:
    """Install what is missing, when we are root on a Debian; gives what was installed.

    Raises PackagesMissing with the line to run, or with the end of apt-get's output.
    """
    packages = missing()
    if not packages:
        return []
    if os.geteuid() != 0:
        raise PackagesMissing(f"Missing packages. Run:\n\n    sudo apt-get install -y {' '.join(packages)}\n")
    if not Path("/usr/bin/apt-get").exists():
        raise PackagesMissing(f"Missing, and this is no Debian; install: {' '.join(packages)}")
    with _no_system_services():
        _apt_get("update")
        _apt_get("install", "-y", "--no-install-recommends", *packages)
    if left := missing():
        raise PackagesMissing(f"apt-get installed, but there is still no {' '.join(left)}")
    return packages


@contextlib.contextmanager
def _no_system_services() -> Iterator[None]:
    """Keep the packages from starting servers of their own, on the system's ports."""
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
        umask=0o022,  # what it installs is everybody's
        text=True,
        errors="replace",
    )
    if done.returncode:
        end = "\n".join(done.stdout.splitlines()[-8:])
        raise PackagesMissing(f"apt-get {' '.join(arguments)} failed:\n{end}")


def _fails(look: object) -> bool:
    try:
        look()  # type: ignore[operator]
    except MissingProgram:
        return True
    return False
