"""Dead letters, replay, pruning and stuck payments, on a real broker and real databases."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import aio_pika
import asyncpg
import pytest
from aio_pika.abc import AbstractIncomingMessage
from msgspec import Raw
from typer import BadParameter
from typer.testing import CliRunner

from chassis.ids import floor, uuid7
from chassis.local.processes import StartError
from chassis.messaging.envelope import Envelope, pack, unpack
from chassis.testing.fixtures import Broker
from shopctl import archive, broker, consumers, services
from shopctl.main import app
from shopctl.options import moment
from shopctl.topology import queues

SERVICES = services.load(Path(__file__).parents[3])
NOW = datetime.now(UTC)


async def die(rabbitmq: Broker, *bodies: bytes) -> None:
    """Makes these the order service's dead letters."""
    async with await aio_pika.connect(rabbitmq.url("order")) as connection:
        dead = await (await connection.channel(on_return_raises=True)).get_exchange("order.failed")
        for body in bodies:
            await dead.publish(aio_pika.Message(body, headers={"x-attempts": 4}), routing_key="dead")


def batch(event_id: UUID) -> bytes:
    event = Envelope(event_id, "/quayside/payment", "payment.captured.v1", NOW, str(uuid7()), Raw(b"{}"))
    return pack([event])[0][1]


async def published(rabbitmq: Broker, queue: str) -> list[Envelope]:
    async with await aio_pika.connect(rabbitmq.url()) as connection:
        found = []
        waiting = await (await connection.channel()).get_queue(queue)
        while message := await waiting.get(no_ack=True, fail=False):
            found += unpack(message.body)
        return found


async def test_dead_letters_are_listed_and_stay(rabbitmq: Broker) -> None:
    event = uuid7()
    await die(rabbitmq, batch(event), b"not a batch")
    for _ in range(2):
        first, second = await broker.dead_letters(rabbitmq.url("operator"), SERVICES.consumers)
        assert (first.service, first.id, first.types) == ("order", str(event), ["payment.captured.v1"])
        assert (second.types, second.body) == ([], "not a batch")


POISON = [
    pytest.param(b'{"a":' * 5000 + b"1" + b"}" * 5000, id="5,000 deep"),
    pytest.param(b"[" * 100_000, id="100,000 brackets"),
    pytest.param(b"\xff\xfe\x00", id="not UTF-8"),
    pytest.param(b"[]", id="no event"),
    pytest.param(b"", id="nothing"),
]


@pytest.mark.parametrize("body", POISON)
async def test_poison_can_be_listed_and_sent_again(rabbitmq: Broker, body: bytes) -> None:
    await die(rabbitmq, body)
    (letter,) = await broker.dead_letters(rabbitmq.url("operator"), SERVICES.consumers)
    assert letter.types == []
    assert await broker.replay(rabbitmq.url("operator"), "order", {letter.id}) == 1


async def test_a_replayed_dead_letter_is_new_to_its_service_and_no_longer_dead(rabbitmq: Broker) -> None:
    chosen, other = uuid7(), uuid7()
    await die(rabbitmq, batch(chosen), batch(other))
    assert await broker.replay(rabbitmq.url("operator"), "order", {str(chosen)}) == 1
    found = await broker.queues(rabbitmq.url("operator"), queues(SERVICES))
    assert (found["order"].messages, found["order.dead"].messages) == (1, 1)
    async with await aio_pika.connect(rabbitmq.url("order")) as connection:
        message = await (await (await connection.channel()).get_queue("order")).get(no_ack=True)
    assert unpack(message.body)[0].id == chosen
    assert "x-attempts" not in message.headers


@pytest.fixture
def cli(rabbitmq: Broker, tmp_path: Path) -> CliRunner:
    """Lists this broker's dead letters in a narrow terminal, or without one."""
    ours = {"SHOP_RUN": str(tmp_path), "SHOP_PORT_OFFSET": "30000", "RUNTIME": "native", "COLUMNS": "20"}
    return CliRunner(env=ours | {"SHOP_BROKER_URL": rabbitmq.url("operator")})


async def test_a_queue_without_a_consumer_is_named(rabbitmq: Broker) -> None:
    async def ignore(_: AbstractIncomingMessage) -> None: ...

    async with await aio_pika.connect(rabbitmq.url("order")) as connection:
        await (await (await connection.channel()).get_queue("order")).consume(ignore)
        with pytest.raises(StartError, match=r"No process consumes these queues: catalog\."):
            await asyncio.to_thread(consumers.wait_for, rabbitmq.url("operator"), ["order", "catalog"], 0)
        await asyncio.to_thread(consumers.wait_for, rabbitmq.url("operator"), ["order"])


def test_ids_are_not_truncated_in_a_narrow_terminal(rabbitmq: Broker, cli: CliRunner) -> None:
    events = [uuid7() for _ in range(3)]
    asyncio.run(die(rabbitmq, *map(batch, events)))
    _, *rows = cli.invoke(app, ["dead-letters", "list"]).stdout.splitlines()
    assert [row.split()[:3] for row in rows] == [["order", str(id), "payment.captured.v1"] for id in events]


def test_a_message_s_content_is_no_markup_and_no_control_sequence(rabbitmq: Broker, cli: CliRunner) -> None:
    event = Envelope(uuid7(), "/quayside/payment", "[/red]", NOW, "\x1b[2J\n[bold]order", Raw(b"{}"))
    asyncio.run(die(rabbitmq, pack([event])[0][1]))
    result = cli.invoke(app, ["dead-letters", "list"])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].split()[:4] == ["order", str(event.id), "[/red]", "\ufffd[2J\ufffd[bold]order"]


def test_a_unique_beginning_of_an_id_is_enough(rabbitmq: Broker, cli: CliRunner) -> None:
    first, second = UUID("0192aaaa-0000-7000-8000-000000000001"), UUID("0192bbbb-0000-7000-8000-000000000002")
    asyncio.run(die(rabbitmq, batch(first), batch(second)))

    shown = cli.invoke(app, ["dead-letters", "show", "0192b"])
    assert json.loads(shown.stdout)[0]["id"] == str(second)

    for command in (["show", "0192"], ["replay", "order", "0192a", "0192"]):
        refused = cli.invoke(app, ["dead-letters", *command])
        assert refused.exit_code == 1
        assert "2 dead letters begin with '0192'; give more" in refused.output
    unknown = cli.invoke(app, ["dead-letters", "replay", "order", "0192a", "0193"])
    assert "There is no dead letter 0193." in unknown.output
    assert (
        asyncio.run(broker.queues(rabbitmq.url("operator"), queues(SERVICES)))["order.dead"].messages == 2
    )  # nothing was sent

    sent = cli.invoke(app, ["dead-letters", "replay", "order", "0192a"])
    assert sent.output == "1 sent again.\n"
    (left,) = asyncio.run(broker.dead_letters(rabbitmq.url("operator"), SERVICES.consumers))
    assert left.id == str(second)


def test_stuck_payments_are_listed_with_the_full_order_id(database: Callable[[str], str], cli: CliRunner) -> None:
    url, order = database("payment"), uuid7()

    async def stick() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(
            "INSERT INTO payments (order_id, state, amount, currency, payment_method, provider, provider_reference,"
            " stuck, reason, next_attempt_at)"
            " VALUES ($1, 'UNKNOWN', 1, 'EUR', 'pm_1', 'stripe', 'pi_3M[b]', true, '[/red]', $2)",
            *(order, datetime(2026, 1, 2, tzinfo=UTC)),
        )
        await connection.close()

    asyncio.run(stick())
    result = cli.invoke(app, ["payments", "list", "--stuck"], env={"SHOP_PAYMENT_DATABASE_URL": url})
    assert result.exit_code == 0, result.output
    row = result.stdout.splitlines()[1].split()
    due = "2026-01-02T00:00:00+00:00"
    assert row == [str(order), "UNKNOWN", "(stuck)", "stripe", "pi_3M[b]", "0", due, "[/red]"]


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02t03:04:05z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02 03:04", datetime(2026, 1, 2, 3, 4, tzinfo=UTC)),
        ("2026-01-02T03:04:05.678901Z", datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)),
        ("2026-01-02T03:04:05+02:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))),
        ("2026-01-02T03:04:05-0330", datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(-timedelta(hours=3.5)))),
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
    ],
)
def test_times_are_accepted_in_common_formats(text: str, time: datetime) -> None:
    assert moment(text) == time


def test_a_future_time_is_rejected() -> None:
    with pytest.raises(BadParameter, match="in the future"):
        moment((NOW + timedelta(days=1)).isoformat())


async def archived(url: str, *rows: tuple[UUID, datetime]) -> None:
    connection = await asyncpg.connect(url)
    await connection.executemany(
        "INSERT INTO outbox_archive (id, routing_key, subject, data, published_at)"
        " VALUES ($1, 'payment.charge.v1', 'an order', '{\"amount\": 1}', $2)",
        rows,
    )
    await connection.close()


async def test_events_are_published_again_under_their_ids(rabbitmq: Broker, database: Callable[[str], str]) -> None:
    url = database("order")
    waited, old, *others = [uuid7() for _ in range(1 + 2 * archive.PAGE)]
    new = [waited, *others]  # one was written before the old one, but published long after it
    await archived(url, (old, NOW - timedelta(hours=2)), *((id, NOW) for id in new))
    count = await archive.replay("order", url, rabbitmq.url("order"), NOW - timedelta(hours=1), SERVICES.consumers_of)
    events = await published(rabbitmq, "payment")
    assert count == len(events) == len(new)
    assert {event.id for event in events} == set(new)
    assert json.loads(bytes(events[0].data)) == {"amount": 1}


async def test_pruning_removes_old_rows_from_archive_and_inbox(database: Callable[[str], str]) -> None:
    url = database("order")
    ages = [timedelta(days=days) for days in (1, 8, 15)]
    ids = [floor(NOW - age) for age in ages]
    await archived(url, *zip(ids, (NOW - age for age in ages), strict=True))
    connection = await asyncpg.connect(url)
    await connection.executemany(
        "INSERT INTO inbox (consumer, event_id, received_at) VALUES ('order', $1, $2)",
        [(id, NOW - age) for id, age in zip(ids, ages, strict=True)],
    )
    assert await archive.prune({"order": url}, {"order": url}, days=7) == (2, 1)
    left = [
        [row[0] for row in await connection.fetch(f"SELECT {column} FROM {table} ORDER BY 1 DESC")]
        for table, column in (("outbox_archive", "id"), ("inbox", "event_id"))
    ]
    assert left == [ids[:1], ids[:2]]
    await connection.close()
