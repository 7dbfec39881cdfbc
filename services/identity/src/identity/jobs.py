"""Work on a schedule: keys are rotated, expired rows are deleted, and the gauge is set.

DATABASE_URL=postgresql://… python -m identity.jobs     rotates the key now, at any age
"""

import asyncio
import logging
from datetime import timedelta
from functools import partial

from chassis.db import Database
from chassis.gauges import Gauges
from chassis.tasks import PeriodicTask
from identity import metrics, repository
from identity.settings import Settings
from identity.usecases.keys import rotate

__all__ = ["gauges", "housekeeping", "rotate_keys"]

log = logging.getLogger(__name__)

HOUR = 3600.0
GAUGES_SECONDS = 60.0


async def rotate_keys(db: Database, settings: Settings, *, now: bool = False) -> None:
    """Makes the first key, or the next one if it is due; with `now`, in any case."""
    keys = await rotate(
        db,
        max_age=timedelta() if now else timedelta(days=settings.key_days),
        lead=timedelta(minutes=settings.key_lead_minutes),
        longest_token=max(timedelta(days=settings.guest_days), timedelta(minutes=settings.access_minutes)),
    )
    log.info("%d signing keys; the newest signs from %s", len(keys), keys[-1].signs_at)


def housekeeping(db: Database, settings: Settings) -> PeriodicTask:
    """Returns the hourly task. Several processes may run it, since rotation takes a lock."""
    return PeriodicTask("housekeeping", partial(_housekeep, db, settings), every=HOUR)


async def _housekeep(db: Database, settings: Settings) -> None:
    await rotate_keys(db, settings)
    async with db.transaction() as tx:
        await repository.prune(tx)


def gauges(db: Database) -> Gauges:
    return Gauges(partial(measure, db), [metrics.key_age], every=GAUGES_SECONDS)


async def measure(db: Database) -> None:
    async with db.connection() as connection:
        metrics.key_age.set(await repository.key_age(connection))


async def main() -> None:
    settings = Settings.load("identity")
    async with Database(settings.database_url, name="identity-rotate", size=1) as db:
        await rotate_keys(db, settings, now=True)


if __name__ == "__main__":
    asyncio.run(main())
