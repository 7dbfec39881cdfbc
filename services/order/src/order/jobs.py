"""What order does by the clock: expiry, and undo commands that nobody answered."""

import asyncio
import logging
from typing import Self

from chassis.db import Database, is_environment_failure
from chassis.outage import Outage
from order.usecases import saga

__all__ = ["Sweeper"]

log = logging.getLogger(__name__)


class Sweeper:
    def __init__(self, db: Database, seconds: float) -> None:
        self._db = db
        self._seconds = seconds
        self._outage = Outage(log, "sweep")
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="sweeper")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=2)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            try:
                while await saga.expire(self._db) or await saga.resend_undo(self._db):
                    pass
                self._outage.over()
            except Exception as error:
                if is_environment_failure(error):
                    self._outage.failed(error)
                else:
                    log.exception("the sweep failed; it goes on")
