"""Messages that a service gave up on: list them, look at one, send them to their service again."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Annotated, TypeVar

import aio_pika
import typer
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from rich.table import Table

from chassis.messaging.envelope import Envelope, Malformed, unpack
from shopctl.console import fail, out
from shopctl.native.place import Place
from shopctl.status import QUEUES

T = TypeVar("T")

app = typer.Typer(help="Messages that a service gave up on.", no_args_is_help=True)


@dataclass(frozen=True)
class DeadLetter:
    """One dead AMQP message. `id` is its first event's, or, if it is no CloudEvents batch, the message's own."""

    service: str
    id: str
    types: list[str]
    subjects: list[str]
    time: str | None
    body: str


@app.command("list")
def list_(
    service: Annotated[str | None, typer.Argument(help="One service's alone.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """List dead letters; they stay where they are."""
    letters = _run(_collect(service))
    if as_json:
        print(json.dumps([asdict(letter) for letter in letters], indent=2))
        return
    if not letters:
        out.print("There are none.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("service", "id", "type", "subject", "time"):
        table.add_column(heading)
    for letter in letters:
        more = f" and {len(letter.types) - 1} more" if len(letter.types) > 1 else ""
        subject = letter.subjects[0] if letter.subjects else ""
        kind = letter.types[0] if letter.types else "no CloudEvents batch"
        table.add_row(letter.service, letter.id, kind + more, subject, letter.time)
    out.print(table)


@app.command()
def show(id: Annotated[str, typer.Argument(help="As `list` prints it.")]) -> None:
    """Print the body of one."""
    for letter in _run(_collect(None)):
        if letter.id == id:
            print(letter.body)
            return
    fail(f"There is no dead letter {id}.")


@app.command()
def replay(
    service: Annotated[str, typer.Argument(help="Whose.")],
    id: Annotated[list[str] | None, typer.Argument(help="These alone; otherwise all.")] = None,
) -> None:
    """Send dead letters to their service again, as if new. One is removed when its service's queue has it."""
    _check(service)
    count = _run(_replay(service, set(id or ())))
    out.print(f"{count} sent again.")
    if id and count < len(set(id)):
        fail("Some ids were not among the dead letters.")


async def _collect(service: str | None) -> list[DeadLetter]:
    if service is not None:
        _check(service)
    letters = []
    async with _channel() as channel:
        for name in QUEUES if service is None else [service]:
            letters += [_describe(name, message) async for message in _messages(channel, name)]
    return letters  # leaving the channel puts every unacknowledged message back


async def _replay(service: str, ids: set[str]) -> int:
    count = 0
    async with _channel() as channel:
        async for message in _messages(channel, service):
            if ids and _describe(service, message).id not in ids:
                continue
            again = aio_pika.Message(
                message.body,
                content_type=message.content_type,
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                message_id=message.message_id,
            )
            await channel.default_exchange.publish(again, routing_key=service, mandatory=True)
            await message.ack()
            count += 1
    return count


async def _messages(channel: AbstractChannel, service: str) -> AsyncIterator[AbstractIncomingMessage]:
    """Everything in a service's dead letters now, unacknowledged."""
    queue = await channel.declare_queue(f"{service}.dead", passive=True)
    for _ in range(queue.declaration_result.message_count or 0):
        message = await queue.get(no_ack=False, fail=False)
        if message is None:
            return
        yield message


def _describe(service: str, message: AbstractIncomingMessage) -> DeadLetter:
    try:
        events: list[Envelope] = unpack(message.body)
    except Malformed:
        events = []
    return DeadLetter(
        service=service,
        id=str(events[0].id) if events else message.message_id or "",
        types=[event.type for event in events],
        subjects=[event.subject for event in events],
        time=events[0].time.isoformat() if events else None,
        body=message.body.decode(errors="replace"),
    )


@asynccontextmanager
async def _channel() -> AsyncIterator[AbstractChannel]:
    async with await aio_pika.connect(Place.here().broker_url("operator"), timeout=5) as connection:
        yield await connection.channel(publisher_confirms=True, on_return_raises=True)


def _check(service: str) -> None:
    if service not in QUEUES:
        fail(f"{service} consumes nothing; these do: {', '.join(QUEUES)}.")


def _run(work: Awaitable[T]) -> T:
    async def run() -> T:
        return await work

    try:
        return asyncio.run(run())
    except (OSError, TimeoutError, aio_pika.exceptions.AMQPError) as error:
        fail(f"RabbitMQ does not answer: {error}")
