"""Work on a schedule: expiry, and undo commands without a reply."""

from functools import partial

from chassis.db import Database
from chassis.tasks import PeriodicTask
from order.usecases import saga

__all__ = ["sweeper"]


def sweeper(db: Database, seconds: float) -> PeriodicTask:
    """Returns the task that sweeps. Several processes may run it, since each locks the orders that it works on."""
    return PeriodicTask("sweep", partial(sweep, db), every=seconds)


async def sweep(db: Database) -> None:
    while await saga.expire(db) or await saga.resend_undo(db):
        pass
