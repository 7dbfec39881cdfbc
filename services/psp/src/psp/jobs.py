"""Work on a schedule: webhooks are delivered."""

import asyncio
import sqlite3
from logging import getLogger

from psp import usecases
from psp.repository import Store
from psp.usecases import WebhookSender

POLL_SECONDS = 0.5

log = getLogger(__name__)


async def deliver_webhooks(store: Store, sender: WebhookSender) -> None:
    """Delivers webhooks when they are due, until it is cancelled; logs when the store fails and when it works again."""
    failing = False
    while True:
        try:
            more = await usecases.deliver_webhooks(store, sender)
        except sqlite3.Error:
            if not failing:
                log.exception("webhooks wait, because the store failed")
            more, failing = False, True
        else:
            if failing:
                log.info("the store works again")
            failing = False
        if not more:
            await asyncio.sleep(POLL_SECONDS)
