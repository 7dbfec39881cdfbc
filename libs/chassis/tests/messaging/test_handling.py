"""No message stops the queue: each is handled, or on the retry ladder, or a dead letter."""

import asyncio
import contextlib
import struct
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aio_pika
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pamqp.commands import Basic
from prometheus_client import REGISTRY

from chassis.db import Database
from chassis.ids import uuid7
from chassis.messages import Event, Message
from chassis.messaging import Consumer, Envelope, handles, pack
from chassis.messaging.envelope import Malformed, unpack
from chassis.messaging.ladder import SENT_AS, Ladder, attempts_of
from chassis.telemetry import JsonFormatter

DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000


class Lit(Message):
    type = "lamps.lit.v1"
    watts: int
    more: Any = None


def event(data: bytes = b'{"watts": 7}', type: str = Lit.type, subject: str = "lamp", **more: Any) -> bytes:
    envelope = Envelope(uuid7(), "/lamps", type, datetime.now(UTC), subject, msgspec.Raw(data), **more)
    ((_, body),) = pack([envelope])
    return body


class Lamps:
    """A consumer whose handler fails for negative watts; a good event shows that it still consumes."""

    def __init__(self, topology, eventually) -> None:
        self.topology = topology
        self.eventually = eventually
        self.handled: list[UUID] = []

    async def handle(self, events: list[Event[Lit]]) -> None:
        if any(event.data.watts < 0 for event in events):
            raise RecursionError("a lamp that is blown")
        self.handled += [event.id for event in events]

    async def goes_on(self) -> bool:
        good = event()
        await self.topology.send(good)
        return bool(await self.eventually(lambda: unpack(good)[0].id in self.handled, seconds=20))

    async def failed(self) -> dict[str, list[bytes]]:
        """Returns the bodies of failed messages, by retry step or `dead`."""
        found = {place: [m.body for m in await self.topology.arrived(place)] for place in self.topology.observers}
        return {place: bodies for place, bodies in found.items() if bodies}


@pytest.fixture
async def lamps(topology, eventually):
    lamps = Lamps(topology, eventually)
    async with Consumer(topology.url, topology.queue, [handles(Lit, lamps.handle)]):
        yield lamps


@pytest.mark.parametrize(
    ("body", "place"),
    [
        pytest.param(DEEP, "dead", id="a body 5,000 deep"),
        pytest.param(b"[" * 100_000, "dead", id="100,000 brackets"),
        pytest.param(event(DEEP), "dead", id="an event whose data is 5,000 deep"),
        pytest.param(event(b'{"watts": -1}'), "retry.5s", id="a handler's RecursionError"),
        pytest.param(event(b'{"watts": 1e400}'), "retry.5s", id="a number without end"),
        pytest.param(event(b'{"watts": "\\ud800"}'), "dead", id="half a surrogate pair"),
        pytest.param(event().decode().encode("utf-16"), "dead", id="UTF-16"),
        pytest.param(event().replace(b"lamp", b"l\xffmp"), "dead", id="broken UTF-8"),
        pytest.param(event().replace(b'"time":"2', b'"time":"-2'), "dead", id="a time before Christ"),
        pytest.param(b"null", "dead", id="null"),
        pytest.param(b"[null]", "dead", id="a list of nothing"),
    ],
)
async def test_an_unexpected_body_is_put_aside(lamps: Lamps, body: bytes, place: str):
    await lamps.topology.send(body)

    assert await lamps.goes_on()
    assert list(await lamps.failed()) == [place]
    assert len(lamps.handled) == 1


@pytest.mark.parametrize("body", [b"[]", event(traceparent="00-\x00" * 50), event(subject="\x00\n" * 1000)])
async def test_an_odd_but_readable_body_is_handled(lamps: Lamps, body: bytes):
    await lamps.topology.send(body)

    assert await lamps.goes_on()
    assert await lamps.failed() == {}


@pytest.mark.parametrize(
    ("attempts", "place"),
    [
        (-10, "retry.5s"),
        (-(2**63), "retry.5s"),
        (4, "dead"),
        (2**62, "dead"),
        (True, "retry.30s"),
        ("3", "retry.5s"),
        (1.5, "retry.5s"),
        (None, "retry.5s"),
        ([1], "retry.5s"),
        ({"x": bytearray(b"\xff")}, "retry.5s"),
        (datetime(1970, 1, 1, tzinfo=UTC), "retry.5s"),
    ],
    ids=repr,
)
async def test_an_invalid_attempts_header_is_corrected(lamps: Lamps, attempts: Any, place: str):
    await lamps.topology.send(event(b'{"watts": -1}'), x_attempts=attempts)

    assert await lamps.goes_on()
    assert list(await lamps.failed()) == [place]


@pytest.mark.parametrize(
    "properties",
    [
        pytest.param(b"\x80\x00" + b"\x02\xff\xfe", id="a content type that is not UTF-8"),
        pytest.param(b"\x20\x00" + b"\x00\x00\x00\x0b\x01tT" + b"\x7f" * 8, id="a header in the year 290 million"),
        pytest.param(b"\x00\x40" + b"\x7f" * 8, id="a time stamp in the year 290 million"),
        pytest.param(b"\x20\x00" + struct.pack(">I", 3) + b"\x01\xffV", id="a header's name that is not UTF-8"),
    ],
)
async def test_undecodable_properties_do_not_end_the_connection(
    lamps: Lamps, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, properties: bytes
):
    """They are sent as raw bytes, since no client library encodes them."""
    body = event()
    async with await aio_pika.connect(lamps.topology.url) as connection:
        channel = await connection.channel(publisher_confirms=False)
        with monkeypatch.context() as patch:
            patch.setattr(Basic.Properties, "marshal", lambda _: properties)
            await channel.default_exchange.publish(aio_pika.Message(body), lamps.topology.queue)

    assert await lamps.goes_on()
    assert unpack(body)[0].id in lamps.handled
    assert "trying until it succeeds" not in caplog.text


@pytest.mark.parametrize("size", [600_000, 1_000_000, 1_048_576])
async def test_a_message_that_is_too_large_is_put_aside(lamps: Lamps, size: int):
    body = event(b'"%s"' % (b"x" * (size - len(event(b'""')))))
    await lamps.topology.send(body)

    assert await lamps.goes_on()
    assert await lamps.failed() == {"dead": [body]}


async def test_an_event_of_another_type_than_its_routing_key_is_forged(lamps: Lamps):
    """A sender's rights depend on the routing key; messages of an operator or the ladder have the queue's name."""
    exchange = await lamps.topology.channel.get_exchange(lamps.topology.exchange)
    forged, honest = event(), event()
    await exchange.publish(aio_pika.Message(forged), "lamps.dimmed.v1")
    await exchange.publish(aio_pika.Message(honest), "lamps.lit.v1")

    assert await lamps.goes_on()
    (dead,) = await lamps.topology.arrived("dead")
    assert (dead.body, dead.headers[SENT_AS]) == (forged, "lamps.dimmed.v1")

    await lamps.topology.send(forged, **{SENT_AS: "lamps.dimmed.v1"})  # as a replay by an operator sends it
    assert await lamps.goes_on()
    assert await lamps.failed() == {"dead": [forged]}
    assert unpack(forged)[0].id not in lamps.handled
    assert unpack(honest)[0].id in lamps.handled


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
members = st.sampled_from(["id", "source", "type", "time", "subject", "data", "traceparent", "specversion"])
GOOD = {
    "id": str(uuid7()),
    "source": "/lamps",
    "type": Lit.type,
    "time": "2026-11-25T12:00:00Z",
    "subject": "lamp",
    "data": {"watts": 7},
}


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Bytes, JSON, and batches of good events with a few members replaced or cut."""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return draw(st.binary(max_size=60))
    if kind == 1:
        return msgspec.json.encode(draw(json_values))
    events = [
        {**GOOD, **draw(st.dictionaries(members, json_values, max_size=2))} for _ in range(draw(st.integers(1, 3)))
    ]
    body = msgspec.json.encode(events)
    return body if kind == 2 else body[: draw(st.integers(0, len(body)))]


header_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=5),
    st.binary(max_size=5).map(bytearray),
    st.lists(st.integers(0, 9), max_size=2),
)
header_names = st.sampled_from(["x-attempts", "x-death", "x-delivery-count", "traceparent", ""])
headers = st.dictionaries(header_names, header_values, max_size=3)


@given(body=bodies())
def test_any_body_is_read_or_malformed(body: bytes):
    with contextlib.suppress(Malformed):
        assert isinstance(unpack(body), list)


@given(headers=headers)
def test_any_attempts_header_gives_a_step_of_the_ladder(headers: dict[str, Any]):
    message = type("Incoming", (), {"headers": headers})
    assert 0 <= attempts_of(message) <= 3


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(poison=st.lists(st.tuples(bodies(), headers), min_size=1, max_size=6))
async def test_a_queue_of_poison_messages_is_emptied(topology, poison: list[tuple[bytes, dict[str, Any]]]):
    lamps = Lamps(topology, until)
    for body, given_headers in poison:
        message = aio_pika.Message(body, headers=given_headers)
        await topology.channel.default_exchange.publish(message, topology.queue)
    async with Consumer(topology.url, topology.queue, [handles(Lit, lamps.handle)]):
        assert await lamps.goes_on()
    assert await topology.left() == 0


async def until(condition, seconds: float) -> bool:
    for _ in range(int(seconds * 100)):
        if condition():
            return True
        await asyncio.sleep(0.01)
    return False


async def test_failed_events_are_counted_from_zero_so_that_the_first_one_is_an_increase() -> None:
    Ladder("amqp://nowhere", "counted", asyncio.Event())

    for step in ("retry.5s", "retry.30s", "retry.5m", "dead"):
        labels = {"messaging_destination_name": "counted", "step": step}
        assert REGISTRY.get_sample_value("quayside_messaging_retries_total", labels) == 0


async def test_the_log_of_a_failed_event_holds_no_row(topology, db: Database, eventually, caplog) -> None:
    async def handler(events: list[Event[Lit]]) -> None:
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO people VALUES ($1, $2)", 2, name)

    name = "Ann Example"
    async with db.connection() as connection:
        await connection.execute("CREATE TABLE people (id int CHECK (id < 2), name text)")
    async with Consumer(topology.url, topology.queue, [handles(Lit, handler)]):
        await topology.send(event())
        await eventually(lambda: topology.arrived("retry.5s"))

    (record,) = (each for each in caplog.records if each.name == "chassis.messaging.ladder")
    line = JsonFormatter().format(record)
    assert "violates check constraint" in line
    assert "Ann" not in line
