"""A flow of orders against the shop of this session."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from flow import AMOUNT, Flow

from shopctl.shop import Shop

collect_ignore = [] if os.environ.get("RUNTIME") == "compose" else ["test_containers.py"]


@pytest.fixture
def flow(shop: Shop, admin: Any, tmp_path: Path) -> Callable[..., AbstractContextManager[Flow]]:
    """`with flow() as orders:` runs shoppers; one of their products sells out."""

    def start(**options: Any) -> AbstractContextManager[Flow]:
        skus = [admin.product(stock=100_000, amount=AMOUNT) for _ in range(6)] + [admin.product(stock=3, amount=AMOUNT)]
        return Flow(shop.place.address, tmp_path / "attempts.jsonl", skus, **options).running()

    return start
