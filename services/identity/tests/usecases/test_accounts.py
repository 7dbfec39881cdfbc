"""Accounts: a change of the password, and finding accounts."""

import asyncio
import unicodedata

import httpx2
import pytest
from fastapi import FastAPI

from chassis.db import Database
from chassis.errors import Malformed
from chassis.ids import uuid7
from identity.models import Account
from identity.usecases import accounts, tokens
from identity.usecases.passwords import Patience

ADA = {"email": "ada@example.org", "password": "correct horse", "name": "Ada"}
NEW = "battery staple"


@pytest.fixture
async def ada(client: httpx2.AsyncClient) -> dict[str, str]:
    return (await client.post("/api/identity/accounts", json=ADA)).json()


async def sign_in(client: httpx2.AsyncClient, password: str) -> httpx2.Response:
    form = {"grant_type": "password", "username": ADA["email"], "password": password}
    return await client.post("/api/identity/token", data=form)


async def refreshed(client: httpx2.AsyncClient, token: str) -> int:
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return (await client.post("/api/identity/token", data=form)).status_code


async def change(client: httpx2.AsyncClient, token: str, current: str, new: str) -> httpx2.Response:
    body = {"current_password": current, "new_password": new}
    return await client.post("/api/identity/password", json=body, headers={"Authorization": f"Bearer {token}"})


@pytest.mark.usefixtures("ada")
async def test_a_changed_password_ends_every_other_sign_in(client: httpx2.AsyncClient) -> None:
    here, there = [(await sign_in(client, ADA["password"])).json() for _ in range(2)]
    changed = await change(client, here["access_token"], ADA["password"], NEW)

    assert changed.status_code == 200
    assert changed.headers["Cache-Control"] == "no-store"
    assert (await sign_in(client, ADA["password"])).status_code == 400
    assert (await sign_in(client, NEW)).status_code == 200
    assert [await refreshed(client, each["refresh_token"]) for each in (here, there)] == [400, 400]
    assert await refreshed(client, changed.json()["refresh_token"]) == 200


@pytest.mark.usefixtures("ada")
async def test_a_wrong_current_password_changes_nothing_and_counts(client: httpx2.AsyncClient) -> None:
    token = (await sign_in(client, ADA["password"])).json()["access_token"]
    answers = [await change(client, token, "wrong horse", NEW) for _ in range(6)]

    assert [each.status_code for each in answers] == [403] * 6
    assert answers[0].json()["type"].endswith("/wrong-password")
    assert (await change(client, token, "wrong horse", NEW)).status_code == 429
    assert (await sign_in(client, ADA["password"])).status_code == 429


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("new", ["short", "x" * 129, "with a \0", ""])
async def test_a_bad_new_password_is_refused_without_an_echo(client: httpx2.AsyncClient, new: str) -> None:
    token = (await sign_in(client, ADA["password"])).json()["access_token"]
    answer = await change(client, token, ADA["password"], new)
    assert answer.status_code == 422
    assert ADA["password"] not in answer.text


async def test_a_guest_has_no_password(client: httpx2.AsyncClient) -> None:
    guest = (await client.post("/api/identity/guests")).json()["access_token"]
    assert (await change(client, guest, ADA["password"], NEW)).status_code == 404


async def test_a_sign_in_that_read_the_old_password_gets_no_tokens(
    client: httpx2.AsyncClient, app: FastAPI, db: Database, ada: dict[str, str]
) -> None:
    parts = app.state.parts
    account = await accounts.sign_in(db, parts.passwords, ADA["email"], ADA["password"], Patience())
    token = (await sign_in(client, ADA["password"])).json()["access_token"]
    assert (await change(client, token, ADA["password"], NEW)).status_code == 200

    with pytest.raises(Malformed):
        await tokens.start(db, parts.issuer, account)


async def test_of_two_sign_ins_at_once_that_renew_the_hash_both_succeed(
    client: httpx2.AsyncClient, app: FastAPI, db: Database, ada: dict[str, str]
) -> None:
    typed = unicodedata.normalize("NFD", "pässwörd of an earlier release")
    async with db.connection() as connection:
        earlier = await app.state.parts.passwords.hash(typed)
        await connection.execute("UPDATE accounts SET password_hash = $2 WHERE id = $1", ada["id"], earlier)
    answers = await asyncio.gather(*(sign_in(client, typed) for _ in range(2)))
    assert [each.status_code for each in answers] == [200, 200]


async def test_a_password_that_is_changed_while_its_hash_is_renewed_opens_nothing(
    client: httpx2.AsyncClient, app: FastAPI, db: Database, ada: dict[str, str], monkeypatch
) -> None:
    typed = unicodedata.normalize("NFD", "pässwörd of an earlier release")
    passwords = app.state.parts.passwords
    earlier, changed = await passwords.hash(typed), await passwords.hash(NEW)
    async with db.connection() as connection:
        await connection.execute("UPDATE accounts SET password_hash = $2 WHERE id = $1", ada["id"], earlier)
    hash = passwords.hash

    async def slow(password: str) -> str:
        async with db.connection() as connection:
            await connection.execute("UPDATE accounts SET password_hash = $2 WHERE id = $1", ada["id"], changed)
        return await hash(password)

    monkeypatch.setattr(passwords, "hash", slow)
    assert (await sign_in(client, typed)).status_code == 400


@pytest.mark.usefixtures("ada")
async def test_of_two_changes_at_once_one_succeeds(client: httpx2.AsyncClient) -> None:
    token = (await sign_in(client, ADA["password"])).json()["access_token"]
    answers = await asyncio.gather(*(change(client, token, ADA["password"], f"{NEW} {n}") for n in range(2)))
    assert sorted(each.status_code for each in answers)[0] == 200
    assert sorted(each.status_code for each in answers)[1] in (403, 409)


async def test_a_manager_finds_accounts_by_address_or_id(
    client: httpx2.AsyncClient, app: FastAPI, ada: dict[str, str]
) -> None:
    manager = Account(uuid7(), "manager@example.org", "Manager", "", frozenset({"orders:manage"}))
    made = await app.state.parts.issuer.for_account(manager, "unused")
    headers = {"Authorization": f"Bearer {made.access_token}"}

    async def found(**query: object) -> list[dict[str, str]]:
        answer = await client.get("/api/admin/accounts", params=query, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    assert await found(email=" ADA@example.org ") == [ada]
    assert await found(id=[ada["id"], "0198a4e0-0000-7000-8000-000000000001"]) == [ada]
    assert await found(email="nobody@example.org") == []
    for query in ({}, {"email": "a\0"}, {"email": "a", "id": ada["id"]}, {"id": "x"}, {"mail": "x"}):
        answer = await client.get("/api/admin/accounts", params=query, headers=headers)
        assert answer.status_code == 422, query


async def test_a_shopper_finds_no_accounts(client: httpx2.AsyncClient, ada: dict[str, str]) -> None:
    token = (await sign_in(client, ADA["password"])).json()["access_token"]
    answer = await client.get(
        "/api/admin/accounts", params={"id": ada["id"]}, headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 403
