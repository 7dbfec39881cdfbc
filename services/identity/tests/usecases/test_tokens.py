"""Refresh tokens: a lost response can be retried, and a copied token revokes all tokens of its sign-in."""

import asyncio
import contextlib

import asyncpg
import httpx2
import pytest

from chassis.db import Database
from identity import repository

ADA = {"email": "ada@example.org", "password": "correct horse", "name": "Ada"}


@pytest.fixture
async def account(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/api/identity/accounts", json=ADA)).status_code == 201


@pytest.fixture
async def first(client: httpx2.AsyncClient, account: None) -> str:
    return await sign_in(client)


async def sign_in(client: httpx2.AsyncClient) -> str:
    """Signs in; returns the first refresh token of the new family."""
    form = {"grant_type": "password", "username": ADA["email"], "password": ADA["password"]}
    return (await client.post("/api/identity/token", data=form)).json()["refresh_token"]


async def refresh(client: httpx2.AsyncClient, token: str) -> httpx2.Response:
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return await client.post("/api/identity/token", data=form)


async def exchanged(client: httpx2.AsyncClient, token: str) -> str:
    answer = await refresh(client, token)
    assert answer.status_code == 200, answer.text
    return answer.json()["refresh_token"]


async def assert_revoked(client: httpx2.AsyncClient, *tokens: str) -> None:
    for token in tokens:
        answer = await refresh(client, token)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def let_seconds_pass(db: Database) -> None:
    async with db.connection() as connection:
        await connection.execute("UPDATE refresh_families SET retry_until = now()")


async def test_after_a_lost_response_the_same_token_is_issued_again(client: httpx2.AsyncClient, first: str) -> None:
    second = await exchanged(client, first)
    answer = await refresh(client, first)
    assert answer.json()["refresh_token"] == second
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await client.get("/api/identity/me", headers=headers)).json()["email"] == ADA["email"]
    assert await exchanged(client, second) not in {first, second}


async def test_every_response_in_a_row_may_be_lost(client: httpx2.AsyncClient, first: str) -> None:
    token = first
    for _ in range(5):
        lost = await exchanged(client, token)
        assert await exchanged(client, token) == lost
        token = lost


async def test_a_token_whose_successor_was_used_counts_as_copied(client: httpx2.AsyncClient, first: str) -> None:
    second = await exchanged(client, first)
    third = await exchanged(client, second)
    await assert_revoked(client, first, second, third)


async def test_a_used_token_that_comes_late_counts_as_copied(
    client: httpx2.AsyncClient, db: Database, first: str
) -> None:
    second = await exchanged(client, first)
    await let_seconds_pass(db)
    await assert_revoked(client, first, second)


async def test_a_token_that_the_previous_release_used_counts_as_copied(
    client: httpx2.AsyncClient, db: Database, first: str
) -> None:
    async with db.connection() as connection:
        await connection.execute("UPDATE refresh_tokens SET used = true")
    await assert_revoked(client, first)


async def test_a_token_whose_successor_the_previous_release_used_counts_as_copied(
    client: httpx2.AsyncClient, db: Database, first: str
) -> None:
    second = await exchanged(client, first)
    async with db.connection() as connection:
        await connection.execute("UPDATE refresh_tokens SET used = true")
    await assert_revoked(client, first, second)


async def test_one_family_is_revoked_and_no_other(client: httpx2.AsyncClient, first: str) -> None:
    apart = await sign_in(client)
    third = await exchanged(client, await exchanged(client, first))
    await assert_revoked(client, first, third)
    await exchanged(client, apart)


async def test_a_token_of_an_expired_family_is_not_valid(client: httpx2.AsyncClient, db: Database, first: str) -> None:
    second = await exchanged(client, first)
    async with db.connection() as connection:
        await connection.execute("UPDATE refresh_families SET expires_at = now()")
    await assert_revoked(client, first, second)


async def test_the_stored_data_alone_cannot_produce_a_token(
    client: httpx2.AsyncClient, db: Database, first: str
) -> None:
    second = await exchanged(client, first)
    async with db.transaction() as tx:
        rows = [*await tx.fetch("SELECT * FROM refresh_tokens"), *await tx.fetch("SELECT * FROM refresh_families")]
        assert rows[0]["hash"] not in {first.encode(), second.encode()}
        assert not {first, second} & {str(value) for row in rows for value in row.values()}
        await tx.execute("UPDATE refresh_families SET retry_until = now()")
        await repository.prune(tx)
        assert await tx.fetchval("SELECT retry_seed FROM refresh_families") is None
    await exchanged(client, second)


async def test_a_token_that_is_sent_many_times_at_once_has_one_successor(
    client: httpx2.AsyncClient, db: Database, first: str
) -> None:
    answers = await asyncio.gather(*(refresh(client, first) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    async with db.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM refresh_tokens") == 2


async def test_a_copy_concurrent_with_the_newest_token_revokes_the_family(
    client: httpx2.AsyncClient, db: Database, first: str
) -> None:
    second = await exchanged(client, first)
    await let_seconds_pass(db)
    async with db.transaction() as tx:
        await tx.execute("SELECT FROM refresh_families FOR UPDATE")
        copy = asyncio.create_task(refresh(client, first))
        await waiting(db, 1)
        newest = asyncio.create_task(refresh(client, second))
        await waiting(db, 2)
    answers = await asyncio.gather(copy, newest)
    assert [answer.status_code for answer in answers] == [400, 400]
    await assert_revoked(client, second)


@pytest.mark.usefixtures("account")
async def test_a_copy_revokes_in_any_order(client: httpx2.AsyncClient, db: Database) -> None:
    for _ in range(10):
        first = await sign_in(client)
        second = await exchanged(client, first)
        await let_seconds_pass(db)
        answers = await asyncio.gather(*(refresh(client, token) for token in (first, second, first, second)))
        assert {answer.status_code for answer in answers} <= {200, 400}
        made = [answer.json()["refresh_token"] for answer in answers if answer.status_code == 200]
        await assert_revoked(client, second, *made)


async def test_a_revocation_is_repeated_after_a_deadlock_with_the_previous_release(
    client: httpx2.AsyncClient, db: Database, first: str
) -> None:
    """The previous release locks a token before its family."""
    second = await exchanged(client, first)
    await let_seconds_pass(db)

    with contextlib.suppress(asyncpg.DeadlockDetectedError):  # PostgreSQL may cancel either side
        async with db.transaction() as tx:
            await tx.execute("SELECT FROM refresh_tokens WHERE NOT used FOR UPDATE")
            copy = asyncio.create_task(refresh(client, first))
            await waiting(db, 1)
            await tx.execute("SELECT FROM refresh_families FOR UPDATE")
    assert (await copy).status_code == 400
    await assert_revoked(client, second)


async def waiting(db: Database, tasks: int) -> None:
    """Waits until so many sessions wait for a lock."""
    count = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(10), db.connection() as connection:
        while await connection.fetchval(count) < tasks:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def revoke(client: httpx2.AsyncClient, token: str) -> httpx2.Response:
    return await client.post("/api/identity/revoke", data={"token": token, "token_type_hint": "refresh_token"})


async def test_a_revoked_token_ends_its_family_and_no_other(client: httpx2.AsyncClient, first: str) -> None:
    other = await sign_in(client)
    assert (await revoke(client, first)).status_code == 200
    await assert_revoked(client, first)
    await exchanged(client, other)


async def test_a_used_token_revokes_its_successor(client: httpx2.AsyncClient, first: str) -> None:
    second = await exchanged(client, first)
    assert (await revoke(client, first)).status_code == 200
    await assert_revoked(client, second, first)


async def test_revoking_an_unknown_token_is_a_success(client: httpx2.AsyncClient, first: str) -> None:
    assert (await revoke(client, first)).status_code == 200
    for token in (first, "made\0up", "x" * 60_000):
        assert (await revoke(client, token)).status_code == 200


async def test_a_revocation_without_a_token_is_refused(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/api/identity/revoke", data={"token_type_hint": "refresh_token"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_a_token_that_is_refreshed_while_it_is_revoked_has_no_successor(
    client: httpx2.AsyncClient, first: str
) -> None:
    refreshed, *_ = await asyncio.gather(refresh(client, first), revoke(client, first), revoke(client, first))
    await assert_revoked(client, first, *([refreshed.json()["refresh_token"]] if refreshed.status_code == 200 else []))
