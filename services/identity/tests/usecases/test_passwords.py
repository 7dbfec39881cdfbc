"""Under load, nothing is hashed for clients that no longer wait, so the others get their turns."""

import asyncio
import time
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from fastapi import FastAPI

from chassis.errors import Unavailable
from identity.usecases.passwords import MAX_WAITING, Passwords, Patience

TOKEN = "/api/identity/token"
ADA = {"username": "ada@example.org", "password": "correct horse"}


async def register(client: httpx2.AsyncClient) -> None:
    body = {"email": ADA["username"], "password": ADA["password"], "name": "Ada"}
    assert (await client.post("/api/identity/accounts", json=body)).status_code == 201


async def sign_in(client: httpx2.AsyncClient, password: str = ADA["password"], ms: int = 30_000) -> httpx2.Response:
    form = {"grant_type": "password", "username": ADA["username"], "password": password}
    return await client.post(TOKEN, data=form, headers={"X-Request-Timeout-Ms": str(ms)})


def stranger(number: int) -> dict[str, str]:
    return {"grant_type": "password", "username": f"stranger{number}@example.org", "password": "wrong"}


async def hashed(app: FastAPI) -> int:
    """Returns for how many addresses a password was checked: the attempt is counted just before."""
    async with app.state.parts.db.connection() as connection:
        return await connection.fetchval("SELECT count(*) FROM sign_ins")


async def failures(app: FastAPI) -> int:
    async with app.state.parts.db.connection() as connection:
        return await connection.fetchval("SELECT coalesce(sum(failures), 0)::int FROM sign_ins")


async def hasty(client: httpx2.AsyncClient, number: int, ms: int) -> httpx2.Response:
    return await client.post(TOKEN, data=stranger(number), headers={"X-Request-Timeout-Ms": str(ms)})


async def test_patient_clients_can_sign_in_among_many_with_short_deadlines(
    slow_hashes: None, client: httpx2.AsyncClient, app: FastAPI
) -> None:
    await register(client)

    async def patient() -> int:
        for _ in range(10):
            if (answer := await sign_in(client)).status_code not in (429, 503):
                break
            await asyncio.sleep(1)
        return answer.status_code

    crowd = [asyncio.create_task(hasty(client, number, 100)) for number in range(100)]
    await asyncio.sleep(0)
    assert await asyncio.gather(*(patient() for _ in range(4))) == [200] * 4
    refused = [answer for answer in await asyncio.gather(*crowd) if answer.status_code == 503]
    assert {answer.json()["type"].rpartition("/")[2] for answer in refused} == {"too-busy"}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert len(refused) > 50
    assert await hashed(app) < 50


async def test_nothing_is_hashed_after_the_deadline(client: httpx2.AsyncClient, app: FastAPI) -> None:
    assert (await hasty(client, 1, 0)).status_code == 503
    assert await hashed(app) == 0


async def test_nothing_is_hashed_for_a_client_that_has_disconnected(app: FastAPI) -> None:
    said = [{"type": "http.request", "body": urlencode(stranger(1)).encode()}]
    headers = [(b"content-type", b"application/x-www-form-urlencoded")]
    scope = {"type": "http", "method": "POST", "path": TOKEN, "query_string": b"", "headers": headers}

    async def receive() -> dict[str, Any]:
        return said.pop() if said else {"type": "http.disconnect"}

    async def send(_: dict[str, Any]) -> None:
        pass

    await app(scope, receive, send)
    assert await hashed(app) == 0


async def test_the_right_password_with_a_short_deadline_is_no_failure(client: httpx2.AsyncClient, app: FastAPI) -> None:
    await register(client)
    for _ in range(6):
        await sign_in(client, ms=20)
    assert await failures(app) == 0
    assert (await sign_in(client)).status_code == 200


async def test_a_guess_with_a_short_deadline_counts_if_it_was_checked(client: httpx2.AsyncClient, app: FastAPI) -> None:
    await register(client)
    codes = [(await sign_in(client, "wrong", ms=20)).status_code for _ in range(5)]
    assert set(codes) <= {400, 503}
    assert await failures(app) == codes.count(400)


async def test_a_guess_counts_even_if_its_request_is_cancelled(client: httpx2.AsyncClient, app: FastAPI) -> None:
    await register(client)
    for number in range(6):
        guess = asyncio.create_task(sign_in(client, "wrong"))
        while await failures(app) == number and not guess.done():  # noqa: ASYNC110
            await asyncio.sleep(0)
        guess.cancel()
        await asyncio.wait({guess})
    assert (await sign_in(client)).status_code == 429


async def test_a_turn_goes_to_the_first_request_that_still_waits() -> None:
    passwords = Passwords(1)
    served = []

    async def wait(name: str, client: Patience) -> None:
        async with passwords.turn(client):
            served.append(name)

    async def yes() -> bool:
        return True

    async with passwords.turn(Patience()):
        gone = asyncio.create_task(wait("gone", Patience(gone=yes)))
        hasty = asyncio.create_task(wait("hasty", Patience(until=time.monotonic() + 0.05)))
        patient = asyncio.create_task(wait("patient", Patience()))
        with pytest.raises(Unavailable, match="too-busy"):
            await hasty
    with pytest.raises(Unavailable, match="too-busy"):
        await gone
    await patient
    assert served == ["patient"]


async def test_the_queue_is_bounded() -> None:
    passwords = Passwords(1)

    async def wait() -> None:
        async with passwords.turn(Patience()):
            pass

    async with passwords.turn(Patience()):
        crowd = [asyncio.create_task(wait()) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="too-busy"):
            await wait()
        for task in crowd:
            task.cancel()
        await asyncio.wait(crowd)
    await wait()


async def test_a_cancelled_request_gives_its_turn_back(client: httpx2.AsyncClient) -> None:
    await register(client)
    for delay in (0, 0.001, 0.01, 0.05, 0.1):
        crowd = [asyncio.create_task(hasty(client, number, 3000)) for number in range(20)]
        await asyncio.sleep(delay)
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
    assert (await sign_in(client)).status_code == 200


async def test_hashing_does_not_use_the_threads_of_the_event_loop(client: httpx2.AsyncClient) -> None:
    """asyncio resolves names in these, for the database too."""
    crowd = [asyncio.create_task(hasty(client, number, 3000)) for number in range(40)]
    await asyncio.sleep(0.05)
    executor = vars(asyncio.get_running_loop())["_default_executor"]
    assert executor is None or not executor._threads
    await asyncio.gather(*crowd)
