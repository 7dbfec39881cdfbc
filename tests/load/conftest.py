"""Fixtures: a run of Locust against the shop."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shopctl.shop import Shop

ROOT = Path(__file__).parents[2]


def written(file: Path) -> list[dict[str, Any]]:
    """Returns what the lines of a file say, without one that is just being written."""
    *lines, _ = file.read_text().split("\n")
    return [json.loads(line) for line in lines]


def listen() -> None:
    """Makes the process end at SIGINT, which a script's background processes ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def started(shop: Shop) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`started(folder, USERS="5", …)` starts Locust with hurried shoppers. It is killed after the module's tests."""
    running: list[subprocess.Popen[str]] = []

    def start(folder: Path, **settings: str) -> subprocess.Popen[str]:
        email, password = shop.place.admin
        environment = os.environ | {
            "LOCUST_HOST": shop.place.address,
            "PYTHONPATH": str(ROOT / "loadtests"),
            "SHAPE": "steady",
            "LOAD_RUN": str(folder),
            "ADMIN_EMAIL": email,
            "ADMIN_PASSWORD": password,
            **settings,
        }
        command = [sys.executable, "-m", "locust", "-f", "tests/load/hurried.py", "--headless"]
        with (folder / "output").open("w") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=output, text=True, preexec_fn=listen
            )
        running.append(process)
        return process

    yield start
    for each in running:
        each.kill()
        each.wait()
