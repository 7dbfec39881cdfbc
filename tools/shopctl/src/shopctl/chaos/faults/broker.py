"""RabbitMQ loses a binding or a queue, or raises an alarm and accepts no more messages."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from shopctl.chaos.amqp import on_channel, publish_again
from shopctl.chaos.fault import EVERYWHERE, Fault, State, Target
from shopctl.definitions import VHOST

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel

__all__ = ["FAULTS"]


BEFORE = 60.0
"""Seconds. Messages that are older are not in a queue when it is deleted."""


def _broker(shop: Target) -> Sequence[str]:
    return ["rabbitmq"]


def _consumers(shop: Target) -> Sequence[str]:
    return shop.place.services.consumers


def _bindings(shop: Target) -> Sequence[str]:
    return [f"{each.name}/{key}" for each in shop.place.services for key in each.consumes]


def _unbind(shop: Target, on: str, state: State) -> None:
    queue, key = on.split("/")

    async def unbind(channel: "AbstractChannel") -> None:
        await (await channel.get_queue(queue, ensure=False)).unbind(f"{queue}.in", key)

    on_channel(shop, unbind)


def _bind(shop: Target, on: str, state: State) -> None:
    queue, key = on.split("/")

    async def bind(channel: "AbstractChannel") -> None:
        await (await channel.get_queue(queue, ensure=False)).bind(f"{queue}.in", key)

    on_channel(shop, bind)


def _now(shop: Target, on: str) -> State:
    return {"since": time.time() - BEFORE}


def _delete_queue(shop: Target, on: str, state: State) -> None:
    shop.execute("rabbitmq", "rabbitmqctl", "delete_queue", "--vhost", VHOST, on)


def _define(shop: Target, on: str, state: State) -> None:
    """Make the broker read its definitions again, as it does when it starts, and publish again what was in the queue.

    A relay does so too if it publishes into the queue while that is missing. On a cluster only the relays do.
    """
    _value(shop, "ok = rabbit_definitions:maybe_load_definitions()")
    if shop.runtime == "cluster":
        return
    wanted = {*shop.place.services[on].consumes}
    for each in shop.place.services:
        if wanted.intersection(each.publishes):
            publish_again(shop, each.name, state["since"], lambda key: [on] if key in wanted else [])


def _value(shop: Target, expression: str) -> str:
    """The value of an Erlang expression in the broker, as Erlang writes it."""
    return shop.execute("rabbitmq", "rabbitmqctl", "eval", f"{expression}.").strip()


def _alarm(kind: str, get: str, set: str, alarming: str) -> Fault:
    """The fault that sets a limit so that the broker raises an alarm, and then sets it as it was."""

    def prepare(shop: Target, on: str) -> State:
        return {"limit": _value(shop, f"{get}()")}

    def begin(shop: Target, on: str, state: State) -> None:
        _value(shop, f"{set}({alarming})")

    def end(shop: Target, on: str, state: State) -> None:
        _value(shop, f"{set}({state['limit']})")

    does = f"raises RabbitMQ's {kind} alarm, so that nobody can publish, and ends it"
    return Fault(f"{kind}-alarm", does, _broker, begin, end, EVERYWHERE, prepare=prepare)


FAULTS = (
    Fault("unbind", "removes a binding of RabbitMQ, and adds it again", _bindings, _unbind, _bind),
    Fault(
        "delete-queue",
        "deletes a service's queue with its messages, and declares it again",
        _consumers,
        _delete_queue,
        _define,
        EVERYWHERE,
        (6.0, 12.0),  # in which a relay notices the loss
        prepare=_now,
    ),
    _alarm(
        "memory",
        "vm_memory_monitor:get_vm_memory_high_watermark",
        "vm_memory_monitor:set_vm_memory_high_watermark",
        "0",
    ),
    _alarm("disk", "rabbit_disk_monitor:get_disk_free_limit", "rabbit_disk_monitor:set_disk_free_limit", "1 bsl 60"),
)
