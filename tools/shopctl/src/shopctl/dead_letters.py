"""Commands for dead letters: list them, show one, send them to their service again."""

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.table import Table

from shopctl.console import cell, fail, out, printable, reason
from shopctl.console import show as show_table
from shopctl.place import Place

if TYPE_CHECKING:
    from shopctl.broker import DeadLetter

T = TypeVar("T")

app = typer.Typer(help="Messages that a service could not handle.", no_args_is_help=True, add_completion=False)


@app.command("list")
def list_(
    service: Annotated[str | None, typer.Argument(help="Only those of this service.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List dead letters, and leave them in place."""
    from shopctl import broker

    letters = _run(broker.dead_letters(_operator(), _consumers() if service is None else [_checked(service)]))
    if as_json:
        print(json.dumps([asdict(letter) for letter in letters], indent=2))
        return
    if not letters:
        out.print("There are no dead letters.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("service", "id", "type", "subject", "time"):
        table.add_column(heading)
    for letter in letters:
        more = f" and {len(letter.types) - 1} more" if len(letter.types) > 1 else ""
        kind = letter.types[0] if letter.types else "not a CloudEvents batch"
        subject = letter.subjects[0] if letter.subjects else ""
        table.add_row(letter.service, cell(letter.id), cell(kind + more), cell(subject), letter.time)
    show_table(table)


@app.command()
def show(id: Annotated[str, typer.Argument(help="An ID from `list`, or its beginning.")]) -> None:
    """Print the body of one dead letter."""
    from shopctl import broker

    letters = _run(broker.dead_letters(_operator(), _consumers()))
    whole = _whole(id, letters)
    body = next(letter.body for letter in letters if letter.id == whole)
    print(printable(body, keep="\n\t") if out.is_terminal else body)


@app.command()
def replay(
    service: Annotated[str, typer.Argument(help="The service.")],
    ids: Annotated[list[str] | None, typer.Argument(help="IDs or their beginnings. Without any: all.")] = None,
) -> None:
    """Send dead letters to their service again, as new messages."""
    from shopctl import broker

    _checked(service)
    wanted: set[str] = set()
    if ids:
        letters = _run(broker.dead_letters(_operator(), [service]))
        wanted = {_whole(id, letters) for id in ids}
    count = _run(broker.replay(_operator(), service, wanted))
    out.print(f"{count} sent again.")
    if count < len(wanted):
        fail("The others are no longer dead letters.")


def _whole(beginning: str, letters: list["DeadLetter"]) -> str:
    """The only ID with this beginning. Fails if there is none or several."""
    found = {letter.id for letter in letters if letter.id and letter.id.startswith(beginning)}
    if beginning in found:
        return beginning
    if not found:
        fail(f"There is no dead letter {beginning}.")
    if len(found) > 1:
        fail(f"{len(found)} dead letters begin with {beginning!r}; give more of the ID (`shopctl dead-letters list`).")
    return found.pop()


def _operator() -> str:
    return Place.here().broker_url("operator")


def _consumers() -> tuple[str, ...]:
    return Place.here().services.consumers


def _checked(service: str) -> str:
    """The service, if it consumes messages."""
    if service not in (consumers := _consumers()):
        fail(f"{service} consumes no messages. These services do: {', '.join(consumers)}.")
    return service


def _run(work: Coroutine[Any, Any, T]) -> T:
    from shopctl import broker

    try:
        return asyncio.run(work)
    except broker.UNREACHABLE as error:
        fail(f"RabbitMQ does not answer: {reason(error)}")
