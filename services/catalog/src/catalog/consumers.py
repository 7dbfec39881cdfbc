"""Maps messages to use cases."""

from functools import partial

from pydantic import SecretStr

from catalog import usecases
from catalog.messages import OrderConfirmed, ReleaseStock, ReserveStock
from chassis.db import Database
from chassis.messaging import Consumer, handles

__all__ = ["consumer"]


def consumer(db: Database, url: SecretStr | str) -> Consumer:
    return Consumer(
        url,
        "catalog",
        [
            handles(ReserveStock, partial(usecases.reserve, db)),
            handles(ReleaseStock, partial(usecases.release, db)),
            handles(OrderConfirmed, partial(usecases.confirm, db)),
        ],
    )
