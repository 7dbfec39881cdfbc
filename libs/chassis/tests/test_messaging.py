"""Nothing is lost, nothing is handled twice, and one bad event holds up no other: against a real broker."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec
import pytest

from chassis import inbox
from chassis.db import Database
from chassis.errors import Unavailable
from chassis.ids import uuid7
from chassis.messages import Event, Message
from chassis.messaging import BrokerDown, Consumer, Envelope, Publisher, Refused, handles, pack, unpack


class Lit(Message):
    type = "lamps.lit.v1"
    watts: int


class Dimmed(Message):
    type = "lamps.dimmed.v1"
    watts: int


class Handled:
    """A handler that notes what it is called with, then does as it is told; `done` is what it succeeded with."""

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


async def test_what_arrives_while_a_batch_is_handled_is_the_next_batch(topology, eventually):
    gate = asyncio.Event()
    handled = Handled(lambda _: gate.wait())
    async with consuming(topology, handled):
        await topology.send(body(event(0)))
        await eventually(lambda: handled.calls == [[0]])
        for watts in range(1, 11):
            await topology.send(body(event(watts)))
        await asyncio.sleep(0.3)
        gate.set()
        await eventually(lambda: len(handled.done) == 11)

    assert handled.calls == [[0], list(range(1, 11))]
    assert await topology.left() == 0


async def test_a_lone_message_is_not_delayed(topology, eventually):
    handled = Handled()
    async with consuming(topology, handled):
        await topology.send(body(event(0)))
        await eventually(lambda: handled.done)
        start = time.perf_counter()
        await topology.send(body(event(1)))
        await eventually(lambda: len(handled.done) == 2)

    assert time.perf_counter() - start < 0.2


async def test_one_call_never_holds_two_events_of_one_subject(topology, eventually):
    handled = Handled()
    await topology.send(
        body(event(1, subject="a"), event(2, subject="a"), event(3, subject="b"), event(4, subject="a"))
    )
    async with consuming(topology, handled):
        await eventually(lambda: len(handled.done) == 4)

    assert handled.calls == [[1, 3], [2], [4]]


async def test_each_type_goes_to_its_own_handler(topology, eventually):
    lit, dimmed = Handled(), Handled()
    await topology.send(body(event(1), event(2, type=Dimmed.type), event(3)))
    handlers = [handles(Lit, lit), handles(Dimmed, dimmed)]
    async with Consumer(topology.url, topology.queue, handlers):
        await eventually(lambda: lit.done and dimmed.done)

    assert (lit.calls, dimmed.calls) == ([[1, 3]], [[2]])


async def test_a_redelivered_message_is_handled_alone(topology, eventually):
    for watts in range(3):
        await topology.send(body(event(watts)))
    gone = await (await topology.channel._connection.channel()).get_queue(topology.queue)
    for _ in range(3):
        await gone.get()
    await gone.channel.close()

    handled = Handled()
    async with consuming(topology, handled):
        await eventually(lambda: len(handled.done) == 3)

    assert handled.calls == [[0], [1], [2]]


async def test_a_failure_of_the_environment_repeats_the_batch_until_it_succeeds(topology, eventually):
    async def fail_twice(_: list[int]) -> None:
        if len(handled.calls) <= 2:
            raise (ConnectionResetError("gone"), Unavailable("database-busy", "Busy", "Try again."))[
                len(handled.calls) - 1
            ]

    handled = Handled(fail_twice)
    await topology.send(body(event(1), event(2)))
    async with consuming(topology, handled):
        await eventually(lambda: handled.done)

    assert handled.calls == [[1, 2]] * 3
    assert await nothing_failed(topology)
    assert await topology.left() == 0


async def test_a_poisonous_event_is_found_and_the_others_are_handled(topology, eventually):
    async def choke(watts: list[int]) -> None:
        if 5 in watts:
            raise ZeroDivisionError("a bug")

    handled = Handled(choke)
    bad = event(5)
    await topology.send(body(*(event(watts) for watts in range(4)), event(4), bad, event(6), event(7)))
    async with consuming(topology, handled):
        await eventually(lambda: len(handled.done) == 7)
        (retried,) = await eventually(lambda: topology.arrived("retry.5s"))

    assert sorted(handled.done) == [0, 1, 2, 3, 4, 6, 7]
    assert len(handled.calls) <= 2 * 3 + 1
    assert [e.id for e in unpack(retried.body)] == [bad.id]
    assert await topology.left() == 0


@pytest.mark.parametrize(("attempts", "place"), [(None, "retry.5s"), (1, "retry.30s"), (2, "retry.5m"), (3, "dead")])
async def test_an_event_that_fails_climbs_the_ladder_to_its_end(topology, eventually, attempts, place):
    async def choke(_: list[int]) -> None:
        raise ZeroDivisionError("a bug")

    sent = event(5)
    await topology.send(body(sent), **({} if attempts is None else {"x_attempts": attempts}))
    async with consuming(topology, Handled(choke)):
        (found,) = await eventually(lambda: topology.arrived(place))

    assert found.headers["x-attempts"] == (attempts or 0) + 1
    assert found.routing_key == place
    assert found.delivery_mode == 2
    assert [e.id for e in unpack(found.body)] == [sent.id]
    assert await nothing_failed(topology)


@pytest.mark.parametrize("text", [b"", b"\xff\x00", b"{}", b'[{"id": "7"}]', b"[" * 10_000], ids=lambda b: repr(b[:9]))
async def test_a_message_that_is_no_batch_goes_to_the_dead_as_it_came(topology, eventually, text: bytes):
    handled = Handled()
    await topology.send(text)
    await topology.send(body(event(1)))
    async with consuming(topology, handled):
        (dead,) = await eventually(lambda: topology.arrived("dead"))
        await eventually(lambda: handled.done == [1])

    assert dead.body == text
    assert await topology.left() == 0


@pytest.mark.parametrize("bad", [event(5, type="lamps.stolen.v1"), event("many")], ids=["unknown type", "wrong data"])
async def test_an_event_that_we_cannot_read_is_retried_later_since_a_newer_version_may(topology, eventually, bad):
    handled = Handled()
    await topology.send(body(event(1), bad, event(2)))
    async with consuming(topology, handled):
        (retried,) = await eventually(lambda: topology.arrived("retry.5s"))
        await eventually(lambda: len(handled.done) == 2)

    assert [e.id for e in unpack(retried.body)] == [bad.id]
    assert handled.calls == [[1, 2]]


async def test_a_message_is_acknowledged_only_after_it_is_handled(topology, cable, eventually):
    """The connection is lost while the handler runs: the broker still has the message and delivers it again."""
    gate = asyncio.Event()
    handled = Handled(lambda _: gate.wait())
    await topology.send(body(event(1)))
    async with consuming(topology, handled, cable.url):
        await eventually(lambda: handled.calls)
        await cable.cut()
        await eventually(lambda: came_back(topology))
        gate.set()
        await cable.mend()
        await eventually(lambda: len(handled.done) == 2)

    assert handled.calls == [[1], [1]]
    assert await topology.left() == 0


async def came_back(topology) -> bool:
    return bool(await topology.left() == 1)


async def test_with_an_inbox_a_message_delivered_twice_is_handled_once(topology, db: Database, eventually):
    async with db.connection() as connection:
        await connection.execute("CREATE TABLE lit (watts int)")
    delivered: list[int] = []

    async def light(events: list[Event[Lit]]) -> None:
        async with db.transaction() as tx:
            fresh = await inbox.first_time(tx, "lamps", events)
            await tx.executemany("INSERT INTO lit VALUES ($1)", [(event.data.watts,) for event in fresh])
        delivered.extend(event.data.watts for event in events)

    messages = [body(*(event(watts) for watts in range(start, start + 5))) for start in range(0, 50, 5)]
    async with consuming(topology, light), consuming(topology, light):
        for message in messages * 2:
            await topology.send(message)

        async def all_came_twice() -> bool:
            return len(delivered) >= 100

        await eventually(all_came_twice)

    async with db.connection() as connection:
        rows = await connection.fetch("SELECT watts FROM lit ORDER BY watts")
    assert [row["watts"] for row in rows] == list(range(50))
    assert await topology.left() == 0
    assert await nothing_failed(topology)


async def test_an_event_whose_handling_was_rolled_back_is_new_again(db: Database):
    events = [Event(uuid7(), "a", Lit(watts=7)), Event(uuid7(), "b", Lit(watts=8))]
    twice = [*events, events[0]]

    async def first_time(*, fails: bool) -> list[Event[Lit]]:
        async with db.transaction() as tx:
            fresh = await inbox.first_time(tx, "lamps", twice)
            if fails:
                raise LookupError
            return fresh

    with pytest.raises(LookupError):
        await first_time(fails=True)
    assert await first_time(fails=False) == events
    assert await first_time(fails=False) == []


async def test_events_are_recorded_in_the_order_of_their_ids(db: Database, eventually):
    """Else this transaction and its rival, which was given both the other way round, would wait for each other."""
    first, second = (Event(uuid7(), "a", Lit(watts=watts)) for watts in (1, 2))

    async def rival() -> list[Event[Lit]]:
        async with db.transaction() as tx:
            return await inbox.first_time(tx, "lamps", [second, first])

    async with db.transaction() as tx:
        await inbox.first_time(tx, "lamps", [first])
        waiting = asyncio.create_task(rival())
        await eventually(lambda: tx.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
        await inbox.first_time(tx, "lamps", [second])
    assert await waiting == []


async def test_a_stop_finishes_the_batch_in_flight_and_gives_the_rest_back(topology, eventually):
    handled = Handled(lambda _: asyncio.sleep(0.5))
    async with consuming(topology, handled):
        await topology.send(body(event(1)))
        await eventually(lambda: handled.calls)
        await topology.send(body(event(2)))

    assert handled.done == [1]
    (left,) = await eventually(topology.arrived)
    assert bytes(unpack(left.body)[0].data) == b'{"watts":2}'


async def test_a_stop_does_not_wait_for_an_environment_that_fails(topology, eventually):
    async def fail(_: list[int]) -> None:
        raise ConnectionResetError("gone")

    handled = Handled(fail)
    await topology.send(body(event(1)))
    async with consuming(topology, handled):
        await eventually(lambda: len(handled.calls) > 2)
        start = time.perf_counter()

    assert time.perf_counter() - start < 2
    assert await eventually(topology.arrived)


async def test_a_consumer_waits_for_a_broker_that_is_down(topology, cable, eventually):
    await cable.cut()
    handled = Handled()
    async with consuming(topology, handled, cable.url):
        await topology.send(body(event(1)))
        await asyncio.sleep(0.3)
        await cable.mend()
        await eventually(lambda: handled.done == [1])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"netloc": "lamps:9d2f@127.0.0.1:1"}, "connection refused"),
        ({"password": "9d2f"}, "it refuses the user or the password"),
        ({"path": "/chairs"}, "it has no such virtual host, or does not let the user in"),
    ],
)
async def test_a_broker_that_cannot_be_used_is_told_once(topology, caplog, change: dict[str, str], why: str):
    url = urlsplit(topology.url)
    netloc = change.get("netloc") or f"{url.username}:{change.get('password', url.password)}@{url.hostname}:{url.port}"
    changed = url._replace(netloc=netloc, path=change.get("path", url.path))

    async with consuming(topology, Handled(), url=changed.geturl()):
        await asyncio.sleep(1.5)  # three tries

    lines = [record.message for record in caplog.records if record.name.startswith("chassis")]
    assert lines == [
        f"consuming {topology.queue}: RabbitMQ at {netloc.rpartition('@')[2]} cannot be used: {why};"
        " is BROKER_URL right? (trying until it succeeds)"
    ]


UP = {"name": "quayside_messaging_consumer_up", "messaging_destination_name": "lamps"}


async def test_a_consumer_subscribes_again_when_its_queue_was_deleted_and_is_there_again(
    topology, eventually, caplog, sample
):
    handled = Handled()
    async with consuming(topology, handled) as consumer:
        await topology.send(body(event(1)))
        await eventually(lambda: handled.done == [1])

        await topology.delete_queue()
        await eventually(lambda: "the broker has cancelled the subscription" in caplog.text)
        await eventually(lambda: "the queue does not exist" in caplog.text)
        assert sample(**UP) == 0

        await topology.declare_queue()
        await topology.send(body(event(2)))
        await eventually(lambda: handled.done == [1, 2])
        assert sample(**UP) == 1
        assert consumer.trouble() is None


async def test_a_consumer_subscribes_again_whatever_ends_its_subscription(topology, eventually, monkeypatch, caplog):
    failures = iter([KeyError("a bug"), ZeroDivisionError("another one"), asyncio.CancelledError()])
    consume = Consumer._consume

    async def failing(self, channel):
        if failure := next(failures, None):
            raise failure
        await consume(self, channel)

    monkeypatch.setattr(Consumer, "_consume", failing)
    handled = Handled()
    async with consuming(topology, handled):
        await topology.send(body(event(1)))
        await eventually(lambda: handled.done == [1])

    assert "KeyError: 'a bug'" in caplog.text
    assert "ZeroDivisionError: another one" in caplog.text


async def test_a_consumer_that_is_down_for_a_minute_is_in_trouble(topology, cable, monkeypatch, eventually, sample):
    async with consuming(topology, Handled(), cable.url) as consumer:
        await eventually(lambda: sample(**UP) == 1)
        await cable.cut()
        await eventually(lambda: sample(**UP) == 0)
        assert consumer.trouble() is None

        monkeypatch.setattr("chassis.messaging.consumer.PATIENCE", 0)
        assert consumer.trouble().startswith("the queue lamps has not been consumed for")


async def test_a_queue_that_does_not_exist_is_told_once(topology, caplog):
    async with Consumer(topology.url, "chairs", [handles(Lit, Handled())]):
        await asyncio.sleep(1.5)

    lines = [record.message for record in caplog.records if record.name.startswith("chassis")]
    assert lines == [
        "consuming chairs: the queue does not exist: load deploy/rabbitmq's definitions into the broker"
        " (trying until it succeeds)"
    ]


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


async def test_a_publisher_says_that_the_broker_is_down_and_recovers(topology, cable):
    async with Publisher(cable.url, name="lamps", timeout=1) as publisher:
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


def test_a_body_holds_a_hundred_events_at_most_in_their_order():
    events = [event(watts) for watts in range(250)]

    bodies = pack(events)

    assert [len(ids) for ids, _ in bodies] == [100, 100, 50]
    assert [e.id for _, text in bodies for e in unpack(text)] == [e.id for e in events]


def test_a_body_is_split_by_its_size_too():
    bodies = pack([event("x" * 100_000) for _ in range(5)])

    assert [len(ids) for ids, _ in bodies] == [2, 2, 1]
    assert all(len(text) <= 256 * 1024 for _, text in bodies)


def test_members_that_we_do_not_know_are_ignored():
    (read,) = unpack(body(event(7)).replace(b'"subject"', b'"dataschema":"/lamps","subject"'))

    assert bytes(read.data) == b'{"watts":7}'
