"""Commands from the order service → use cases; the driver is woken when there may be something to ask."""

from collections.abc import Callable, Sequence

from chassis.db import Database
from chassis.messaging import Event, Handler, handles
from chassis.outbox import Message
from payment import usecases
from payment.messages import Cancel, Charge


def handlers(db: Database, wake: Callable[[], None]) -> dict[str, tuple[type[Message], Handler]]:
    async def charge(events: Sequence[Event[Charge]]) -> None:
        await usecases.charge(db, events)
        wake()

    async def cancel(events: Sequence[Event[Cancel]]) -> None:
        await usecases.cancel(db, events)
        wake()

    return dict([handles(Charge, charge), handles(Cancel, cancel)])
