"""A member that occurs twice is refused, however it is spelled and however the route reads its body."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, Request
from hypothesis import given
from hypothesis import strategies as st

from chassis.app import create_app
from chassis.bodies import refuse_duplicates
from chassis.errors import Malformed
from chassis.schemas import Body, parsed
from chassis.settings import ServiceSettings

router = APIRouter()


class Lamp(Body):
    name: str
    watts: int = 7


@router.post("/framework")
async def framework(lamp: Lamp) -> Lamp:
    return lamp


@router.post("/parsed")
async def in_one_step(request: Request) -> Lamp:
    return parsed(Lamp, await request.body())


@router.post("/raw")
async def raw(request: Request) -> int:
    return len(await request.body())


@pytest.fixture
def client() -> httpx2.AsyncClient:
    app = create_app(ServiceSettings(), "lamps", title="Lamps", routers=[router])
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://lamps", headers={"Content-Type": "application/json"}
    )


TWICE = [
    b'{"name": "a", "name": "b"}',
    b'{"name": "a", "name": "a"}',
    b'{"name": "a", "n\\u0061me": "b"}',
    b'{"name": "say \\"hi\\"", "watts": 1, "watts": 2}',
    b'{"name": "a", "watts": {"x": 1, "x": 2}}',
    b'{"name": "a", "watts": [[{"x": 1}, {"x": 1, "x": 2}]]}',
    b'{"name": "name", "watts": 1, "watts": 1}',
    b'{"": 1, "": 2}',
    b'{":b": 1, ":b": 2}',
    '{"name": "a", "watts": 1, "watts": 2}'.encode("utf-16"),
]


@pytest.mark.parametrize("path", ["/framework", "/parsed", "/raw"])
@pytest.mark.parametrize("body", TWICE)
async def test_a_member_that_occurs_twice_is_refused(client: httpx2.AsyncClient, path: str, body: bytes) -> None:
    answer = await client.post(path, content=body)

    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json()["type"].endswith("/duplicate-member")
    assert answer.json()["detail"].startswith("Give ")


async def test_a_body_in_pieces_is_checked_as_a_whole(client: httpx2.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for byte in TWICE[0]:
            yield bytes([byte])

    assert (await client.post("/framework", content=pieces())).json()["type"].endswith("/duplicate-member")


@pytest.mark.parametrize(
    "body", [b'{"name": "name"}', b'{"name": "a\\"name\\": 1", "watts": 1}', b'{"name": "watts", "watts": 1}']
)
@pytest.mark.parametrize("path", ["/framework", "/parsed"])
async def test_values_may_repeat_names(client: httpx2.AsyncClient, path: str, body: bytes) -> None:
    assert (await client.post(path, content=body)).json()["name"] == json.loads(body)["name"]


@pytest.mark.parametrize("path", ["/framework", "/parsed"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"name":' * 5000 + b"1" + b"}" * 5000,
        b"[" * 60_000,
        b'{"name": "a", "watts": ' + b"9" * 60_000 + b"}",
        b'{"name": "a", "watts": ' + b"9" * 5000 + b', "watts": 1}',
        b'{"name": "a", "watts": 1e999}',
        b'{"name": "a", "watts": -0.0}',
        b'{"name": "a", "name"',
        b'{"name": "\xff", "name": 1}',
    ],
    ids=lambda body: repr(body[:30]),
)
async def test_json_that_no_parser_accepts_is_a_client_error(
    client: httpx2.AsyncClient, path: str, body: bytes
) -> None:
    answer = await client.post(path, content=body)

    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]


async def test_a_body_that_is_not_json_is_left_to_the_route(client: httpx2.AsyncClient) -> None:
    for body in (b"", b'name="a"&name="a"', b'--x; name="a"; name="a"', b"\\\0\xff"):
        assert (await client.post("/raw", content=body)).json() == len(body)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"\\:é', max_size=2), inner, max_size=3),
)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_what_python_writes_has_no_duplicates(value: Any, ascii: bool, indent: int | None) -> None:
    refuse_duplicates(json.dumps(value, ensure_ascii=ascii, indent=indent).encode())


@given(VALUES, st.text('ab"\\:é', max_size=2), st.booleans())
def test_duplicates_are_found(value: Any, name: str, ascii: bool) -> None:
    member = json.dumps({name: value}, ensure_ascii=ascii)[1:-1]
    with pytest.raises(Malformed, match="duplicate-member"):
        refuse_duplicates(f"[{{{member}, {member}}}]".encode())
