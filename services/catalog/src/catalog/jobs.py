"""Work on a schedule: the gauge."""

from functools import partial

from catalog import metrics
from catalog.repository import stock
from chassis.db import Database
from chassis.gauges import Gauges

__all__ = ["gauges"]

GAUGES_SECONDS = 15.0
"""It reads the stock of all products: an index on what is available would have to be updated by each reservation."""


def gauges(db: Database) -> Gauges:
    return Gauges(partial(measure, db), [metrics.sold_out], every=GAUGES_SECONDS)


async def measure(db: Database) -> None:
    async with db.connection() as connection:
        metrics.sold_out.set(await stock.sold_out(connection))
