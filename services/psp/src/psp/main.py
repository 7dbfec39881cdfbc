"""The composition root: `uvicorn --factory psp.main:create`."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI

from psp import jobs, routes, usecases
from psp.clients import HttpWebhookSender
from psp.models import Faults
from psp.repository import Store
from psp.settings import Settings


def create(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings.load()
    try:
        store = Store(settings.psp_database)
    except sqlite3.Error as error:
        raise SystemExit(
            f"psp: PSP_DATABASE: {settings.psp_database} cannot be opened ({error});"
            " its folder must exist and be writable, and this process its only writer"
        ) from None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, routes.Parts]]:
        sender = HttpWebhookSender(
            str(settings.webhook_url),
            settings.psp_webhook_secret.get_secret_value(),
            connections=usecases.WEBHOOK_CONCURRENCY,
        )
        await usecases.announce_last(store)
        webhooks = asyncio.create_task(jobs.deliver_webhooks(store, sender))
        yield {"parts": routes.Parts(store, Faults(settings.slow_seconds), usecases.Liar(sender))}
        webhooks.cancel()
        with suppress(asyncio.CancelledError):
            await webhooks
        await sender.close()
        await store.close()

    app = FastAPI(
        title="Sandbox payment provider",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # The framework's telemetry would wrap `receive`, through which `Wire` finds the connection.
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    routes.install(app)
    return app
