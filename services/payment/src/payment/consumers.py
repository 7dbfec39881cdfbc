"""Commands from the order service → use cases; the driver is woken when there may be something to ask."""

from collections.abc import Callable

from chassis.db import Database
from chassis.messaging import Event, Handler
from chassis.outbox import Message
from payment import usecases
from payment.messages import Cancel, Charge


def handlers(db: Database, wake: Callable[[], None]) -> dict[str, tuple[type[Message], Handler]]:
    async def charge(events: list[Event[Charge]]) -> None:
        await usecases.charge(db, events)
        wake()

    async def cancel(events: list[Event[Cancel]]) -> None:
        await usecases.cancel(db, events)
        wake()

    return {Charge.type: (Charge, charge), Cancel.type: (Cancel, cancel)}
