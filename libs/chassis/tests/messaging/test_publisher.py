"""A published message is in the queue when the call returns; otherwise the call raises."""

import asyncio
from contextlib import suppress

import pytest

from chassis.messaging import BrokerDown, Publisher, Refused


async def test_a_published_message_is_in_the_queue_when_the_call_returns(topology):
    async with Publisher(topology.url, name="lamps") as publisher:
        await asyncio.gather(*(publisher.publish(topology.exchange, "lamps.lit.v1", b"%d" % n) for n in range(50)))

    assert {message.body for message in await topology.arrived()} == {b"%d" % n for n in range(50)}


async def test_only_the_message_that_no_queue_takes_is_refused(topology):
    keys = ["lamps.lit.v1", "chairs.moved.v1"] * 10
    async with Publisher(topology.url, name="lamps") as publisher:
        outcomes = await asyncio.gather(
            *(publisher.publish(topology.exchange, key, b"[]") for key in keys), return_exceptions=True
        )

    assert [isinstance(outcome, Refused) for outcome in outcomes] == [False, True] * 10
    assert len(await topology.arrived()) == 10


async def test_a_full_queue_refuses(topology):
    full = f"{topology.queue}.full"
    queue = await topology.channel.declare_queue(
        full, exclusive=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
    )
    await queue.bind(topology.exchange, "full")
    async with Publisher(topology.url, name="lamps") as publisher:
        publishing = [publisher.publish(topology.exchange, "full", b"[]") for _ in range(5)]
        outcomes = await asyncio.gather(*publishing, return_exceptions=True)

    assert outcomes[0] is None
    assert isinstance(outcomes[-1], Refused)


async def test_a_publisher_reports_that_the_broker_is_down_and_recovers(topology, cable):
    async with Publisher(cable.url, name="lamps") as publisher:
        await publisher.publish(topology.exchange, "lamps.lit.v1", b"[]")
        await cable.cut()
        with pytest.raises(BrokerDown):
            await publisher.publish(topology.exchange, "lamps.lit.v1", b"[]")
        await cable.mend()
        await publisher.publish(topology.exchange, "lamps.lit.v1", b"[]")


async def test_a_cancelled_publish_does_not_confirm_the_next_one(topology):
    async with Publisher(topology.url, name="lamps") as publisher:
        for _ in range(20):
            task = asyncio.create_task(publisher.publish(topology.exchange, "lamps.lit.v1", b"[]"))
            await asyncio.sleep(0.001)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        with pytest.raises(Refused):
            await publisher.publish(topology.exchange, "chairs.moved.v1", b"[]")
