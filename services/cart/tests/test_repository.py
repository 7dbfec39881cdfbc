"""The repository replaces connections that were lost."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from cart.models import Line
from cart.repository import Carts
from chassis.testing.cable import Cable


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_connection_that_was_reset_is_replaced(valkey: str, run: Callable[[Any], None]) -> None:
    async def scenario() -> None:
        async with Cable(valkey) as cable, Carts(cable.url) as carts:
            await carts.change("shopper", {"MUG-1": 2})
            cable.reset()
            await asyncio.sleep(0.05)
            assert (await carts.get("shopper")).items == [Line("MUG-1", 2)]

    run(scenario())
