"""Messages, handlers and consumers for the tests of messaging."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec

from chassis.ids import uuid7
from chassis.messages import Event, Message
from chassis.messaging import Consumer, Envelope, handles, pack


class Lit(Message):
    type = "lamps.lit.v1"
    watts: int


class Dimmed(Message):
    type = "lamps.dimmed.v1"
    watts: int


class Handled:
    """A handler that records its calls and then runs `then`; `done` is what it has handled successfully."""

    def __init__(self, then: Callable[[list[int]], Awaitable[None]] | None = None) -> None:
        self.then = then
        self.calls: list[list[int]] = []
        self.done: list[int] = []

    async def __call__(self, events: list[Event[Lit]]) -> None:
        watts = [event.data.watts for event in events]
        self.calls.append(watts)
        if self.then:
            await self.then(watts)
        self.done += watts


def event(watts: object, *, subject: str | None = None, type: str = Lit.type) -> Envelope:
    return Envelope(
        id=uuid7(),
        source="/lamps",
        type=type,
        time=datetime.now(UTC),
        subject=subject or str(uuid7()),
        data=msgspec.Raw(msgspec.json.encode({"watts": watts})),
    )


def body(*events: Envelope) -> bytes:
    ((_, body),) = pack(events)
    return body


def consuming(topology, handler, url: str | None = None) -> Consumer:
    return Consumer(url or topology.url, topology.queue, [handles(Lit, handler)])


async def nothing_failed(topology) -> bool:
    return not any([await topology.arrived(place) for place in topology.observers])
