"""The journal is complete, even if a worker is killed in the middle of its requests."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shopper import Admin, eventually

from shopctl.shop import Shop

from .conftest import written

pytestmark = pytest.mark.timeout(300)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [line for file in folder.glob("attempts-*.jsonl") for line in written(file)]


def unanswered(folder: Path) -> set[str]:
    """The keys of the attempts that are under way."""
    found = lines(folder)
    return {each["key"] for each in found} - {each["key"] for each in found if "status" in each}


def test_a_killed_worker_has_lost_no_attempt(
    shop: Shop,
    admin: Admin,
    audit: Callable[..., None],
    started: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    admin.product(stock=10_000)
    worker = started(tmp_path, PERSONAS="buyer", USERS="10", TIME="200s")
    assert eventually(lambda: any("order_id" in each for each in lines(tmp_path)), seconds=40), (
        tmp_path / "output"
    ).read_text()

    shop.freeze("order")  # it has the requests, and places the orders when it runs again
    try:
        assert eventually(lambda: unanswered(tmp_path), seconds=40)
        worker.kill()
        worker.wait()
    finally:
        shop.thaw("order")

    assert unanswered(tmp_path)
    audit("--attempts", str(tmp_path))
