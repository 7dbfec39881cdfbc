"""Messages to use cases."""

from functools import partial

from pydantic import SecretStr

from catalog import usecases
from catalog.messages import OrderConfirmed, ReleaseStock, ReserveStock
from chassis.db import Database
from chassis.messaging import Consumer, handles

__all__ = ["consumer"]


def consumer(db: Database, broker_url: SecretStr) -> Consumer:
    """Reads the queue `catalog`."""
    return Consumer(
        broker_url,
        "catalog",
        dict(
            (
                handles(ReserveStock, partial(usecases.reserve, db)),
                handles(ReleaseStock, partial(usecases.release, db)),
                handles(OrderConfirmed, partial(usecases.confirm, db)),
            )
        ),
    )
