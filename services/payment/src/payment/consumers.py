"""Maps messages to use cases. Each then wakes the driver, because a payment may be due."""

from collections.abc import Callable

from pydantic import SecretStr

from chassis.db import Database
from chassis.messages import Event
from chassis.messaging import Consumer, handles
from payment import usecases
from payment.messages import Cancel, Charge

__all__ = ["consumer"]


def consumer(db: Database, provider: str, wake: Callable[[], None], url: SecretStr | str) -> Consumer:
    """Returns the consumer of the queue `payment`. New payments go to `provider`."""

    async def charge(events: list[Event[Charge]]) -> None:
        await usecases.charge(db, events, provider)
        wake()

    async def cancel(events: list[Event[Cancel]]) -> None:
        await usecases.cancel(db, events)
        wake()

    return Consumer(url, "payment", [handles(Charge, charge), handles(Cancel, cancel)])
