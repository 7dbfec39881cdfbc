"""Against a real broker: nothing is lost, and a bad event does not delay the others."""

import asyncio
import time
from urllib.parse import urlsplit

import pytest

from chassis.errors import Unavailable
from chassis.messaging import Consumer, handles, unpack

from .lamps import Dimmed, Handled, Lit, body, consuming, event, nothing_failed


async def test_messages_that_arrive_during_a_batch_form_the_next_batch(topology, eventually):
    gate = asyncio.Event()
    handled = Handled(lambda _: gate.wait())
    async with consuming(topology, handled) as consumer:
        await topology.send(body(event(0)))
        await eventually(lambda: handled.calls == [[0]])
        for watts in range(1, 11):
            await topology.send(body(event(watts)))
        await eventually(lambda: len(consumer._arrived) == 10)
        gate.set()
        await eventually(lambda: len(handled.done) == 11)

    assert handled.calls == [[0], list(range(1, 11))]
    assert await topology.left() == 0


async def test_a_single_message_is_not_delayed(topology, eventually):
    """The quickest of several counts: the machine may pause during some of them, but a delay by design is in each."""
    handled = Handled()
    seconds = []
    async with consuming(topology, handled):
        for number in range(10):
            start = time.perf_counter()
            await topology.send(body(event(number)))
            await eventually(lambda number=number: number in handled.done)
            seconds.append(time.perf_counter() - start)

    assert min(seconds) < 0.2


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


async def test_a_poison_event_is_found_and_the_others_are_handled(topology, eventually):
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
async def test_an_event_that_fails_climbs_the_ladder_to_its_end(topology, eventually, attempts, place, caplog):
    """Its first failure and its last one are logged."""

    async def choke(_: list[int]) -> None:
        raise ZeroDivisionError("a bug")

    sent = event(5)
    await topology.send(body(sent), **({} if attempts is None else {"x_attempts": attempts}))
    async with consuming(topology, Handled(choke)):
        (found,) = await eventually(lambda: topology.arrived(place))

    logged = [record.fields["subject"] for record in caplog.records if record.name == "chassis.messaging.ladder"]
    assert logged == ([sent.subject] if place in ("retry.5s", "dead") else [])
    assert found.headers["x-attempts"] == (attempts or 0) + 1
    assert found.routing_key == place
    assert found.delivery_mode == 2
    assert [e.id for e in unpack(found.body)] == [sent.id]
    assert await nothing_failed(topology)


@pytest.mark.parametrize("text", [b"", b"\xff\x00", b"{}", b'[{"id": "7"}]', b"[" * 10_000], ids=lambda b: repr(b[:9]))
async def test_a_message_that_is_not_a_batch_becomes_a_dead_letter_unchanged(topology, eventually, text: bytes):
    handled = Handled()
    await topology.send(text)
    await topology.send(body(event(1)))
    async with consuming(topology, handled):
        (dead,) = await eventually(lambda: topology.arrived("dead"))
        await eventually(lambda: handled.done == [1])

    assert dead.body == text
    assert await topology.left() == 0


@pytest.mark.parametrize("bad", [event(5, type="lamps.stolen.v1"), event("many")], ids=["unknown type", "wrong data"])
async def test_an_unreadable_event_is_retried_since_a_newer_version_may_read_it(topology, eventually, bad):
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


async def test_a_stop_finishes_the_current_batch_and_returns_the_rest(topology, eventually):
    gate = asyncio.Event()
    handled = Handled(lambda _: gate.wait())
    async with consuming(topology, handled) as consumer:
        await topology.send(body(event(1)))
        await eventually(lambda: handled.calls)
        await topology.send(body(event(2)))
        await eventually(lambda: len(consumer._arrived) == 1)
        asyncio.get_running_loop().call_later(0.02, gate.set)

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

    assert time.perf_counter() - start < 8, "it would be cancelled after ten seconds"
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
async def test_a_broker_that_cannot_be_used_is_logged_once(
    topology, caplog, eventually, tries: list[str], change: dict[str, str], why: str
):
    url = urlsplit(topology.url)
    netloc = change.get("netloc") or f"{url.username}:{change.get('password', url.password)}@{url.hostname}:{url.port}"
    changed = url._replace(netloc=netloc, path=change.get("path", url.path))

    async with consuming(topology, Handled(), url=changed.geturl()):
        await eventually(lambda: len(tries) == 3)

    lines = [record.message for record in caplog.records if record.name.startswith("chassis")]
    assert lines == [
        f"consuming {topology.queue}: RabbitMQ at {netloc.rpartition('@')[2]} cannot be used: {why};"
        " is BROKER_URL right? (trying until it succeeds)"
    ]


UP = {"name": "quayside_messaging_consumer_up", "messaging_destination_name": "lamps"}


async def test_a_consumer_subscribes_again_once_its_deleted_queue_is_back(topology, eventually, caplog, sample):
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


async def test_a_queue_that_does_not_exist_is_logged_once(topology, caplog, eventually, tries: list[str]):
    async with Consumer(topology.url, "chairs", [handles(Lit, Handled())]):
        await eventually(lambda: len(tries) == 3)

    lines = [record.message for record in caplog.records if record.name.startswith("chassis")]
    assert lines == [
        "consuming chairs: the queue does not exist: load deploy/rabbitmq's definitions into the broker"
        " (trying until it succeeds)"
    ]
