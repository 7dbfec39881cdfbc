"""The HTTP interface, through the whole application."""

from uuid import uuid4

import httpx2
import pytest

from .conftest import Client

ENTRIES = "/api/storefront/entries"


async def post(client: httpx2.AsyncClient, key: str = "key", text: str = "A text") -> httpx2.Response:
    return await client.post(ENTRIES, json={"text": text}, headers={"Idempotency-Key": key})


def problem(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


async def test_an_entry_is_read_where_its_location_says(client: Client) -> None:
    async with client("ann") as ann:
        added = await post(ann)
        read = await ann.get(added.headers["Location"])

    assert (added.status_code, read.status_code) == (201, 200)
    assert read.json() == added.json()
    assert read.json().keys() == {"id", "text", "state", "created_at"}
    assert (read.json()["text"], read.json()["state"]) == ("A text", "NEW")


async def test_a_repeated_request_gives_the_same_answer(client: Client) -> None:
    async with client("ann") as ann:
        first, again = await post(ann), await post(ann)

    assert again.json() == first.json()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_a_key_that_came_with_another_text_is_refused(client: Client) -> None:
    async with client("ann") as ann:
        await post(ann)
        assert problem(await post(ann, text="Another text")) == (422, "key-reused")


async def test_another_principal_s_entry_is_not_found_until_it_is_approved(client: Client) -> None:
    async with client("ann") as ann, client("ben") as ben:
        location = (await post(ann)).headers["Location"]
        assert problem(await ben.get(location)) == (404, "unknown-entry")
        assert problem(await ben.get(f"{ENTRIES}/{uuid4()}")) == (404, "unknown-entry")


@pytest.mark.parametrize("key", ["", "two words", "x" * 256])
async def test_a_request_without_a_good_key_is_refused(client: Client, key: str) -> None:
    async with client("ann") as ann:
        assert problem(await post(ann, key)) == (422, "invalid-request")


async def test_a_request_without_a_token_is_refused(client: Client) -> None:
    async with client("ann") as ann:
        del ann.headers["Authorization"]
        assert problem(await post(ann)) == (401, "token-required")
