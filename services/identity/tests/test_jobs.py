"""Rotation of the signing keys, and the accounts that the first migration creates."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from chassis.db import Database, migrations
from chassis.errors import Unavailable
from identity import jobs, repository
from identity.models import signer
from identity.settings import FirstAccounts, Settings
from identity.usecases.accounts import sign_in
from identity.usecases.keys import Keyring, rotate
from identity.usecases.passwords import Passwords, Patience


async def test_processes_that_start_together_make_one_key(db: Database, settings: Settings) -> None:
    await asyncio.gather(*(jobs.rotate_keys(db, settings) for _ in range(4)))
    async with db.connection() as connection:
        assert len(await repository.signing_keys(connection)) == 1


async def test_without_a_key_nothing_is_signed_and_the_first_one_is_used_at_once(
    db: Database, settings: Settings
) -> None:
    keyring = Keyring(db)
    with pytest.raises(Unavailable):
        await keyring.sign({})
    await jobs.rotate_keys(db, settings)
    assert (await keyring.sign({})).count(".") == 2


async def test_the_next_key_is_published_before_it_signs(db: Database, settings: Settings) -> None:
    await jobs.rotate_keys(db, settings)
    keyring = Keyring(db)
    before = await keyring.published()
    await jobs.rotate_keys(db, settings, now=True)
    await jobs.rotate_keys(db, settings, now=True)  # the second one changes nothing
    await keyring.load()

    after = await keyring.published()
    assert len(after["keys"]) == 2
    assert after["keys"][0] == before["keys"][0]
    async with db.connection() as connection:
        keys = await repository.signing_keys(connection)
    assert signer(keys, datetime.now(UTC)) == keys[0]
    assert signer(keys, datetime.now(UTC) + timedelta(minutes=16)) == keys[1]


async def test_an_old_key_is_deleted_once_no_token_of_it_is_valid(db: Database) -> None:
    for _ in range(2):
        keys = await rotate(db, max_age=timedelta(), lead=timedelta(), longest_token=timedelta(hours=1))
    assert len(keys) == 2
    keys = await rotate(db, max_age=timedelta(days=1), lead=timedelta(), longest_token=timedelta())
    assert len(keys) == 1


@pytest.fixture
def migrated(database: Callable[[str | None], str]) -> Callable[[], str]:
    def run() -> str:
        url = database(None)
        thread = threading.Thread(target=migrations.upgrade, args=("identity", url))
        thread.start()
        thread.join()
        return url

    return run


async def test_development_has_an_administrator_and_a_shopper(
    migrated: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENVIRONMENT", "development")
    async with Database(migrated(), name="test") as db:
        admin = await sign_in(db, Passwords(1), "admin@quayside.example", "quayside-admin", Patience())
        shopper = await sign_in(db, Passwords(1), "shopper@quayside.example", "quayside-shopper", Patience())
    assert admin.scopes == {"catalog:write", "orders:manage"}
    assert shopper.scopes == set()


async def test_production_has_only_the_administrator_it_was_given(
    migrated: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMIN_EMAIL", " Root@Example.ORG")
    monkeypatch.setenv("ADMIN_PASSWORD", "long and of one's own")
    async with Database(migrated(), name="test") as db, db.connection() as connection:
        rows = await connection.fetch("SELECT email FROM accounts")
    assert [row["email"] for row in rows] == ["root@example.org"]


def test_production_refuses_the_password_of_development(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_PASSWORD", "quayside-admin")
    with pytest.raises(ValidationError, match="placeholder"):
        FirstAccounts()
