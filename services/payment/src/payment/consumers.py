"""Maps messages to use cases. The driver handles charges, and is woken after a cancel, since a refund may be due."""

from collections.abc import Awaitable, Callable

from pydantic import SecretStr

from chassis.db import Database
from chassis.messages import Event
from chassis.messaging import Consumer, handles
from payment import usecases
from payment.messages import Cancel, Charge

__all__ = ["consumer"]


def consumer(
    db: Database,
    charge: Callable[[list[Event[Charge]]], Awaitable[None]],
    wake: Callable[[], None],
    url: SecretStr | str,
) -> Consumer:
    """Returns the consumer of the queue `payment`."""

    async def cancel(events: list[Event[Cancel]]) -> None:
        await usecases.cancel(db, events)
        wake()

    return Consumer(url, "payment", [handles(Charge, charge), handles(Cancel, cancel)])
