"""Messages that come twice, in reverse order, or that no service can read."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

from chassis.local.processes import StartError
from shopctl.chaos.amqp import on_channel, publish_again
from shopctl.chaos.fault import Fault, State, Target

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

__all__ = ["FAULTS", "look"]

BEFORE = 15.0
"""Seconds. The messages of this time before the fault also come twice."""
MOST = 1000
"""The number of messages that are delivered in reverse."""
WITHIN = 20.0
"""Seconds within which a message that no service can read must be in the dead letters."""


def _publishers(shop: Target) -> Sequence[str]:
    return shop.place.services.outboxes


def _consumers(shop: Target) -> Sequence[str]:
    return shop.place.services.consumers


def _now(shop: Target, on: str) -> State:
    return {"since": time.time() - BEFORE}


def _publish_again(shop: Target, on: str, state: State) -> None:
    state["published"] = publish_again(shop, on, state["since"], shop.place.services.consumers_of)


def _hold_back(shop: Target, on: str, state: State) -> None:
    shop.stop(on)
    shop.start(on, ROLE="api")


def _deliver_in_reverse(shop: Target, on: str, state: State) -> None:
    """Reverse the queue, and let the service consume it."""
    on_channel(shop, lambda channel: _reverse(channel, on))
    shop.stop(on)
    shop.start(on)


async def _reverse(channel: "AbstractChannel", name: str) -> None:
    """Put the waiting messages into the queue again, the last one first. A crash duplicates some, and loses none."""
    from shopctl import broker

    queue = await channel.get_queue(name, ensure=False)
    waiting: list[AbstractIncomingMessage] = []
    while len(waiting) < MOST and (message := await queue.get(fail=False)):
        waiting.append(message)
    for message in reversed(waiting):
        await channel.default_exchange.publish(broker.again(message), name, mandatory=True)
        await message.ack()


def _nonsense(shop: Target, on: str) -> State:
    return {"body": f"no CloudEvents batch: {uuid4()}"}


def _send_nonsense(shop: Target, on: str, state: State) -> None:
    """Returns once the service has put it into its dead letters. Raises StartError if that takes too long."""

    async def send(channel: "AbstractChannel") -> None:
        import aio_pika

        exchange = await channel.get_exchange(f"{on}.in", ensure=False)
        state["sent"] = True  # which another process, that reads the note, does not know
        await exchange.publish(aio_pika.Message(state["body"].encode()), shop.place.services[on].consumes[0])

    on_channel(shop, send)
    _wait(shop, on, state, remove=False)


def _forget_nonsense(shop: Target, on: str, state: State) -> None:
    _wait(shop, on, state, remove=True)
    state["sent"] = False


def _wait(shop: Target, on: str, state: State, *, remove: bool) -> None:
    """Wait until the message is in the dead letters. Raises StartError if it is not in time.

    It is no error if the message may never have been sent, and none waits any more.
    """
    began, url = time.monotonic(), shop.place.broker_url("operator")
    while True:
        found, waiting = on_channel(shop, lambda channel: look(channel, url, on, state["body"].encode(), remove=remove))
        lasted = time.monotonic() - began
        if found or state.get("sent") is False:
            return
        if lasted > WITHIN:
            if not waiting and "sent" not in state:
                return
            raise StartError(f"{on} has not handled a message for {WITHIN:.0f} s.")
        time.sleep(0.2)


async def look(channel: "AbstractChannel", url: str, name: str, body: bytes, *, remove: bool) -> tuple[bool, int]:
    """Whether the message is in the dead letters, from which it may be removed, and how many are in the queue.

    The other dead letters that were looked at are put back.
    """
    from shopctl import broker  # which loads slowly

    queue = await channel.declare_queue(name, passive=True)
    dead = await channel.get_queue(f"{name}.dead", ensure=False)
    found = False
    seen: list[AbstractIncomingMessage] = []
    while not found and (message := await dead.get(fail=False)):
        found = message.body == body
        if found and remove:
            await message.ack()
        else:
            seen.append(message)
    for message in seen:
        await message.nack()
    await broker.put_back(url, {name: len(seen)})
    return found, queue.declaration_result.message_count or 0


FAULTS = (
    Fault(
        "twice",
        "publishes a service's last messages again, at its beginning and at its end",
        _publishers,
        _publish_again,
        _publish_again,
        prepare=_now,
    ),
    Fault(
        "reverse",
        "holds a service's messages back, and delivers them in reverse",
        _consumers,
        _hold_back,
        _deliver_in_reverse,
    ),
    Fault(
        "poison",
        "sends a service a message that it cannot read, and removes it from the dead letters",
        _consumers,
        _send_nonsense,
        _forget_nonsense,
        prepare=_nonsense,
    ),
)
