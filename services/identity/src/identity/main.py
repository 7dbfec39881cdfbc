"""The composition root: `uvicorn --factory identity.main:create`."""

from datetime import timedelta

from fastapi import FastAPI

from chassis.app import create_app
from chassis.db import Database, migrations
from identity import jobs, routes
from identity.clients import OwnVerifier
from identity.settings import Settings
from identity.usecases.accounts import Window
from identity.usecases.keys import Keyring
from identity.usecases.passwords import Passwords
from identity.usecases.tokens import Issuer

__all__ = ["create"]


def create(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings.load("identity")
    db = Database(settings.database_url, name="identity", size=settings.database_pool_size)
    keyring = Keyring(db)
    issuer = Issuer(
        keyring,
        settings.issuer,
        settings.audience,
        access=timedelta(minutes=settings.access_minutes),
        guest=timedelta(days=settings.guest_days),
        refresh=timedelta(days=settings.refresh_days),
    )
    passwords = Passwords(settings.password_concurrency)
    registrations = Window(settings.registrations_per_minute)

    async def started() -> None:
        await migrations.check(db, "identity")
        await jobs.rotate_keys(db, settings)
        await keyring.load()

    return create_app(
        settings,
        "identity",
        title="Identity",
        routers=[routes.router, routes.admin],
        resources=[db],
        workers=[jobs.housekeeping(db, settings), jobs.gauges(db)],
        verifier=OwnVerifier(keyring, issuer=settings.issuer, audience=settings.audience),
        parts=routes.Parts(db, issuer, passwords, registrations, settings.public_url),
        kinds=routes.KINDS,
        started=started,
    )
