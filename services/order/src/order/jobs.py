"""Work on a schedule: expiry, undo commands without a reply, and the gauges."""

from functools import partial

from chassis.db import Database
from chassis.gauges import Gauges
from chassis.tasks import PeriodicTask
from order import metrics, repository
from order.usecases import saga

__all__ = ["gauges", "sweeper"]

GAUGES_SECONDS = 5.0


def sweeper(db: Database, seconds: float) -> PeriodicTask:
    """Returns the task that sweeps. Several processes may run it, since each locks the orders that it works on."""
    return PeriodicTask("sweep", partial(sweep, db), every=seconds)


async def sweep(db: Database) -> None:
    while await saga.expire(db) or await saga.resend_undo(db):
        pass


def gauges(db: Database) -> Gauges:
    return Gauges(partial(measure, db), metrics.MEASURED, every=GAUGES_SECONDS)


async def measure(db: Database) -> None:
    async with db.connection() as connection:
        metrics.set_open(await repository.open_orders(connection))
        metrics.set_audit(tuple(row) for row in await repository.audit(connection))
