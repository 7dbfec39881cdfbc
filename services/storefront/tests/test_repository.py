"""Sessions in a real Valkey."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis

from chassis.errors import Unavailable
from chassis.testing.cable import Cable
from chassis.valkey import Valkey
from storefront.models import Session, Tokens
from storefront.repository import Sessions

GUEST = Session(Tokens("guest", 1.0, 2.0))
ANN = Session(Tokens("access", 1.0, 2.0, frozenset({"orders:manage"}), "refresh"), "Ann", GUEST.tokens, unmerged=True)


def about(seconds: int) -> Any:
    """Equals a time to live that was set to this some moments ago."""
    return pytest.approx(seconds - 5, abs=5)


@pytest.fixture
async def sessions(valkey: str) -> AsyncIterator[Sessions]:
    async with Valkey(valkey, "sessions", service="storefront", timeout=5) as pool:
        yield Sessions(pool, days=1)


@pytest.fixture
def stored(valkey: str):
    with redis.Redis.from_url(valkey) as client:
        yield client


async def test_a_session_is_found_by_its_id(sessions: Sessions) -> None:
    first, second = await sessions.start(ANN), await sessions.start(ANN)
    assert await sessions.get(first) == ANN
    assert first != second
    assert len(first) == 43  # 256 bits


@pytest.mark.parametrize("id", ["", "x", "a" * 43, "\0\r\n*", "ü😀", "x" * 100_000])
async def test_no_other_id_opens_a_session(sessions: Sessions, id: str) -> None:
    await sessions.start(ANN)
    assert await sessions.get(id) is None


async def test_valkey_does_not_have_the_id(sessions: Sessions, stored: redis.Redis) -> None:
    id = await sessions.start(ANN)
    (key,) = stored.keys()
    assert id.encode() not in key + stored.get(key)
    assert await sessions.get(key.decode().rpartition(":")[2]) is None


async def test_use_renews_the_time_to_live(sessions: Sessions, stored: redis.Redis) -> None:
    id = await sessions.start(ANN)
    (key,) = stored.keys()
    assert stored.ttl(key) == about(86_400)
    stored.expire(key, 10)
    await sessions.get(id)
    assert stored.ttl(key) == about(86_400)


async def test_a_guest_who_does_not_come_back_is_kept_for_a_day(valkey: str, stored: redis.Redis) -> None:
    async with Valkey(valkey, "sessions", service="storefront", timeout=5) as pool:
        sessions = Sessions(pool, days=30)
        id = await sessions.start(GUEST)
        (key,) = stored.keys()
        assert stored.ttl(key) == about(86_400)
        await sessions.get(id)
        assert stored.ttl(key) == about(30 * 86_400)


async def test_a_session_ends_once_and_its_id_is_known_for_a_minute(sessions: Sessions, stored: redis.Redis) -> None:
    id = await sessions.start(ANN)
    assert not await sessions.ended_lately(id)
    assert [await sessions.end(id), await sessions.end(id)] == [True, False]
    assert await sessions.get(id) is None
    assert await sessions.ended_lately(id)
    assert [stored.ttl(key) for key in stored.keys("*")] == [about(60)]
    await sessions.end("forged")
    assert not await sessions.ended_lately("forged")


async def test_a_full_valkey_takes_no_new_session_but_knows_the_others(sessions: Sessions, stored: redis.Redis) -> None:
    id, other = await sessions.start(ANN), await sessions.start(ANN)
    stored.config_set("maxmemory", 1)
    try:
        with pytest.raises(Unavailable):
            await sessions.start(ANN)
        assert await sessions.get(id) == ANN
        assert await sessions.end(other)
        assert await sessions.get(other) is None
    finally:
        stored.config_set("maxmemory", 0)


async def test_a_change_does_not_bring_an_ended_session_back(sessions: Sessions) -> None:
    id = await sessions.start(ANN)
    await sessions.end(id)
    await sessions.change(id, ANN)
    assert await sessions.get(id) is None


async def test_a_session_that_cannot_be_read_is_none(sessions: Sessions, stored: redis.Redis) -> None:
    id = await sessions.start(ANN)
    (key,) = stored.keys()
    for damaged in (b"", b"\xff", b"\x80"):
        stored.set(key, damaged)
        assert await sessions.get(id) is None


async def test_the_price_that_was_shown_first_stays_as_long_as_the_product_is_there(sessions: Sessions) -> None:
    id = await sessions.start(ANN)
    assert await sessions.first_prices(id, {"MUG-1": "1200 EUR", "POT-1": ""}) == {"MUG-1": "1200 EUR"}
    later = {"MUG-1": "1500 EUR", "POT-1": "900 EUR"}
    assert await sessions.first_prices(id, later) == {"MUG-1": "1200 EUR", "POT-1": "900 EUR"}
    assert await sessions.first_prices(id, {"MUG-1": "", "POT-1": "1 EUR"}) == {"MUG-1": "1200 EUR", "POT-1": "900 EUR"}
    assert await sessions.first_prices(id, {"POT-1": "1 EUR"}) == {"POT-1": "900 EUR"}
    assert await sessions.first_prices(id, later) == {"MUG-1": "1500 EUR", "POT-1": "900 EUR"}
    await sessions.forget_prices(id, ["MUG-1"])
    assert await sessions.first_prices(id, {"MUG-1": "1 EUR", "POT-1": ""}) == {"MUG-1": "1 EUR", "POT-1": "900 EUR"}
    assert await sessions.first_prices(await sessions.start(ANN), {}) == {}


async def test_prices_live_as_long_as_the_session(sessions: Sessions, stored: redis.Redis) -> None:
    id = await sessions.start(ANN)
    await sessions.first_prices(id, {"MUG-1": "1200 EUR"})
    assert [stored.ttl(key) for key in stored.keys("*")] == [about(86_400)] * 2
    await sessions.end(id)
    assert [key for key in stored.keys("*") if not key.endswith(b":ended")] == []


async def test_a_session_under_a_new_id_keeps_the_prices(sessions: Sessions, stored: redis.Redis) -> None:
    old, new = await sessions.start(ANN), await sessions.start(ANN)
    await sessions.copy_prices(old, new)  # there are none
    await sessions.first_prices(old, {"MUG-1": "1200 EUR"})
    await sessions.copy_prices(old, new)
    assert [stored.ttl(key) for key in stored.keys("*:prices")] == [about(86_400)] * 2
    await sessions.end(old)
    assert await sessions.first_prices(new, {"MUG-1": "1 EUR"}) == {"MUG-1": "1200 EUR"}


async def test_a_key_keeps_its_first_result_for_a_minute(sessions: Sessions, stored: redis.Redis) -> None:
    id, other = await sessions.start(ANN), await sessions.start(ANN)
    assert [await sessions.once(id, "k", result) for result in (3, 4)] == [3, 3]
    assert await sessions.once(id, "another", 4) == 4
    assert await sessions.once(other, "k", 5) == 5
    keys = stored.keys("*:added:*")
    assert [stored.ttl(key) for key in keys] == [about(60)] * 3
    assert all(key.startswith(b"storefront:session:") and id.encode() not in key for key in keys)


async def test_one_request_at_a_time_has_the_lock(sessions: Sessions) -> None:
    proof = await sessions.lock("a")
    assert proof is not None
    assert await sessions.lock("a") is None
    assert await sessions.lock("b") is not None
    await sessions.unlock("a", "of another request")
    assert await sessions.lock("a") is None
    await sessions.unlock("a", proof)
    assert await sessions.lock("a") is not None


async def test_a_lock_opens_by_itself_before_identity_forgets_the_last_renewal(
    sessions: Sessions, stored: redis.Redis
) -> None:
    await sessions.lock("a")
    (key,) = stored.keys()
    assert 0 < stored.pttl(key) <= 5_000  # identity answers a lost renewal again for 10 s


async def test_without_valkey_every_call_says_so_soon(valkey: str) -> None:
    async with Cable(valkey) as cable, Valkey(cable.url, "sessions", service="storefront", timeout=5) as pool:
        sessions = Sessions(pool)
        id = await sessions.start(ANN)
        await cable.cut()
        began = time.monotonic()
        calls = (sessions.get(id), sessions.start(ANN), sessions.change(id, ANN), sessions.end(id), sessions.lock(id))
        calls += (sessions.unlock(id, "x"), sessions.once(id, "k", 1), sessions.ended_lately(id))
        calls += (sessions.first_prices(id, {}), sessions.forget_prices(id, ["X"]), sessions.copy_prices(id, "y"))
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) for result in results] == [Unavailable] * len(calls)
        assert time.monotonic() - began < 5
        await cable.mend()
        assert await sessions.get(id) == ANN
