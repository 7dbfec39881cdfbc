"""A process whose clock is ten minutes wrong behaves like the others, because the database's clock decides."""

import contextlib
import datetime
import sys
import time
from collections.abc import Iterator
from datetime import timedelta

import httpx2
import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import KeySet

from chassis.db import Database
from identity import jobs
from identity.settings import Settings
from identity.usecases.keys import Keyring, rotate

ADA = {"email": "ada@example.org", "password": "correct horse", "name": "Ada"}
DAY = 86_400
right_time = time.time


@contextlib.contextmanager
def off_by(seconds: float) -> Iterator[None]:
    """Sets the clock of this process, which is also that of the tests."""

    class Off(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return datetime.datetime.fromtimestamp(time.time(), tz)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: right_time() + seconds)
        for name, module in list(sys.modules.items()):
            if name.startswith(("identity.", "chassis.")) and hasattr(module, "datetime"):
                patch.setattr(module, "datetime", Off)
        yield


@pytest.fixture(params=[-600, 600])
def wrong(request: pytest.FixtureRequest) -> float:
    return request.param


@pytest.fixture
def clock_off(wrong: float) -> Iterator[None]:
    with off_by(wrong):
        yield


async def token(client: httpx2.AsyncClient, **form: str) -> httpx2.Response:
    return await client.post("/api/identity/token", data=form)


async def me(client: httpx2.AsyncClient, access_token: str) -> int:
    answer = await client.get("/api/identity/me", headers={"Authorization": f"Bearer {access_token}"})
    return answer.status_code


async def claims(client: httpx2.AsyncClient, access_token: str) -> dict[str, int]:
    keys = KeySet.import_key_set((await client.get("/.well-known/jwks.json")).json())
    return jwt.decode(access_token, keys, algorithms=["ES256"]).claims


@pytest.mark.usefixtures("clock_off")
async def test_tokens_are_valid_now_and_for_their_lifetime(client: httpx2.AsyncClient) -> None:
    made = (await client.post("/api/identity/guests")).json()
    said = await claims(client, made["access_token"])
    assert said["iat"] == pytest.approx(right_time(), abs=60)
    assert said["exp"] - said["iat"] == 30 * DAY


@pytest.mark.usefixtures("clock_off")
async def test_sign_in_its_delay_and_refresh_work(client: httpx2.AsyncClient, db: Database) -> None:
    await client.post("/api/identity/accounts", json=ADA)
    right = {"grant_type": "password", "username": ADA["email"], "password": ADA["password"]}
    first = (await token(client, **right)).json()["refresh_token"]
    fresh = (await token(client, grant_type="refresh_token", refresh_token=first)).json()
    assert (await claims(client, fresh["access_token"]))["iat"] == pytest.approx(right_time(), abs=60)
    async with db.connection() as connection:
        left = await connection.fetchval("SELECT extract(epoch FROM expires_at - now())::int FROM refresh_families")
    assert left == pytest.approx(30 * DAY, abs=60)

    for _ in range(6):
        await token(client, **right | {"password": "wrong"})
    assert (await token(client, **right)).status_code == 429


@pytest.mark.usefixtures("clock_off")
async def test_identity_accepts_its_own_tokens_for_their_lifetime(client: httpx2.AsyncClient, app: FastAPI) -> None:
    await client.post("/api/identity/accounts", json=ADA)
    form = {"grant_type": "password", "username": ADA["email"], "password": ADA["password"]}
    fresh = (await token(client, **form)).json()["access_token"]
    said = await claims(client, fresh)
    keyring = app.state.parts.issuer.keyring
    now = int(right_time())
    tokens = {
        "fresh": fresh,
        "5 minutes left": await keyring.sign(said | {"exp": now + 300}),
        "expired a minute ago": await keyring.sign(said | {"exp": now - 60}),
    }
    assert {name: await me(client, access_token) for name, access_token in tokens.items()} == {
        "fresh": 200,
        "5 minutes left": 200,
        "expired a minute ago": 401,
    }


async def test_processes_whose_clocks_differ_rotate_once(db: Database, wrong: float) -> None:
    rotation = {"max_age": timedelta(minutes=5), "lead": timedelta(), "longest_token": timedelta(days=1)}
    with off_by(wrong):
        await rotate(db, **rotation)
    assert len(await rotate(db, **rotation)) == 1
    with off_by(-wrong):
        assert len(await rotate(db, **rotation)) == 1


async def test_the_next_key_signs_from_the_same_time_in_every_process(
    db: Database, settings: Settings, wrong: float
) -> None:
    with off_by(-wrong):
        await jobs.rotate_keys(db, settings)
    await rotate(db, max_age=timedelta(), lead=timedelta(minutes=5), longest_token=timedelta(days=1))
    right, off = Keyring(db), Keyring(db)
    expected = await right.sign({})
    with off_by(wrong):
        found = await off.sign({})
    assert found.partition(".")[0] == expected.partition(".")[0]
    assert len((await right.published())["keys"]) == 2
