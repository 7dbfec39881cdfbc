"""Valkey: lost connections are replaced, scripts are stored again, and an outage is reported in one line."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from chassis.errors import Unavailable
from chassis.testing.cable import Cable
from chassis.valkey import Script, Valkey

INCREMENT = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_connection_that_was_reset_is_replaced(valkey: str, run: Callable[[Any], None]) -> None:
    async def scenario() -> None:
        async with Cable(valkey) as cable, Valkey(cable.url, "things", service="test") as store:
            await store.execute("SET", "a", 1)
            cable.reset()
            await asyncio.sleep(0.05)
            assert await store.execute("GET", "a") == b"1"

    run(scenario())


async def test_a_script_runs_also_after_a_restart(valkey: str) -> None:
    async with Valkey(valkey, "things", service="test") as store:
        assert await store.run(INCREMENT, ["n"], [2]) == 2
        await store.redis.script_flush()
        assert await store.run(INCREMENT, ["n"], [3]) == 5


async def test_a_valkey_that_is_away_is_unavailable_and_named() -> None:
    async with Valkey("redis://:9d2f@127.0.0.1:1/0", "things", service="test") as store:
        with pytest.raises(Unavailable, match="thing-unavailable: Things cannot be reached"):
            await store.execute("GET", "a")
        with pytest.raises(ConnectionError, match=r"test: Valkey at 127\.0\.0\.1:1 cannot be used: connection refused"):
            await store.ping()
