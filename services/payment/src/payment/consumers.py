"""Commands from the order service → use cases; the driver is woken when there may be something to ask."""

from collections.abc import Callable

from pydantic import SecretStr

from chassis.db import Database
from chassis.messages import Event
from chassis.messaging import Consumer, handles
from payment import usecases
from payment.messages import Cancel, Charge

__all__ = ["consumer"]


def consumer(db: Database, wake: Callable[[], None], url: SecretStr | str) -> Consumer:
    async def charge(events: list[Event[Charge]]) -> None:
        await usecases.charge(db, events)
        wake()

    async def cancel(events: list[Event[Cancel]]) -> None:
        await usecases.cancel(db, events)
        wake()

    return Consumer(url, "payment", [handles(Charge, charge), handles(Cancel, cancel)])
