"""By the clock: keys are rotated, what has expired is dropped.

DATABASE_URL=postgresql://… python -m identity.jobs     rotates the key now, whatever its age
"""

import asyncio
import logging
from datetime import timedelta
from typing import Self

from chassis.db import Database, is_environment_failure
from identity import repository
from identity.settings import Settings
from identity.usecases.keys import rotate

__all__ = ["Housekeeping", "rotate_keys"]

log = logging.getLogger(__name__)

HOUR = 3600.0


async def rotate_keys(db: Database, settings: Settings, *, now: bool = False) -> None:
    """The first key, or the next one if it is time, or `now` in any case."""
    keys = await rotate(
        db,
        max_age=timedelta() if now else timedelta(days=settings.key_days),
        lead=timedelta(minutes=settings.key_lead_minutes),
        longest_token=max(timedelta(days=settings.guest_days), timedelta(minutes=settings.access_minutes)),
    )
    log.info("%d signing keys; the youngest signs from %s", len(keys), keys[-1].signs_at)


class Housekeeping:
    """Runs every hour; several processes may, since rotation takes a lock."""

    def __init__(self, db: Database, settings: Settings, *, every: float = HOUR) -> None:
        self._db = db
        self._settings = settings
        self._every = every
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="housekeeping")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await rotate_keys(self._db, self._settings)
                async with self._db.transaction() as tx:
                    await repository.prune(tx)
            except Exception as error:
                log.log(
                    logging.WARNING if is_environment_failure(error) else logging.ERROR,
                    "housekeeping: %s",
                    error,
                )


async def main() -> None:
    settings = Settings.load("identity")
    async with Database(settings.database_url, name="identity-rotate", size=1) as db:
        await rotate_keys(db, settings, now=True)


if __name__ == "__main__":
    asyncio.run(main())
