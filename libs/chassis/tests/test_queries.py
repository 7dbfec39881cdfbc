"""Each parameter is known, occurs once, and has one spelling."""

from typing import Annotated

import fastapi
import httpx2
import pytest
from fastapi import APIRouter, Request
from pydantic import Field

from chassis.app import create_app
from chassis.queries import CanonicalId, Digits, Query, once
from chassis.settings import ServiceSettings

router = APIRouter()
ID = "0198a4e0-0000-7000-8000-00000000000a"
OTHER_FORMS = [f"%7B{ID}%7D", f"urn:uuid:{ID}", ID.replace("-", ""), f"{ID}%0A", "x"]
NO_DIGITS = ["1e1", "%205", "5%20", "%2B5", "-5", "5.0", "5_0", "%D9%A5", "", "x"]


class Lamps(Query):
    limit: Digits = 20
    after: CanonicalId | None = None
    color: list[str] = Field(default_factory=list)


@router.get("/lamps")
async def lamps(request: Request, query: Annotated[Lamps, fastapi.Query()]) -> Lamps:
    once(request, "color")
    return query


@router.get("/lamps/{id}")
async def lamp(id: CanonicalId) -> str:
    return str(id)


@pytest.fixture
def client() -> httpx2.AsyncClient:
    app = create_app(ServiceSettings(), "lamps", title="Lamps", routers=[router])
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://lamps")


@pytest.mark.parametrize(
    "query", ["", "limit=5", "limit=005", f"after={ID}", f"after={ID.upper()}", "color=red&color=red", "color="]
)
async def test_what_is_taken(client: httpx2.AsyncClient, query: str) -> None:
    assert (await client.get(f"/lamps?{query}")).status_code == 200


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        *((f"limit={bad}", ["limit"]) for bad in NO_DIGITS),
        *((f"after={bad}", ["after"]) for bad in [*OTHER_FORMS, ""]),
        ("limit=1&limit=1", ["limit"]),
        (f"limit=1&limit=2&color=red&after={ID}&color=red&after={ID}", ["after", "limit"]),
        ("limt=5", ["limt"]),
        ("x=1&y=2", ["x", "y"]),
    ],
)
async def test_a_refused_parameter_is_named(client: httpx2.AsyncClient, query: str, fields: list[str]) -> None:
    answer = await client.get(f"/lamps?{query}")

    assert answer.status_code == 422
    assert answer.json()["type"].endswith("/invalid-request")
    assert [error["field"] for error in answer.json()["errors"]] == [f"query.{field}" for field in fields]


@pytest.mark.parametrize("id", OTHER_FORMS)
async def test_an_id_has_one_spelling(client: httpx2.AsyncClient, id: str) -> None:
    assert (await client.get(f"/lamps/{ID}")).json() == ID
    assert (await client.get(f"/lamps/{id}")).status_code == 422
