"""A direct route answers and is observed as the framework's way of calling the same function would be."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated

import asyncpg
import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi import Query as QueryOfFastAPI
from prometheus_client import REGISTRY
from pydantic import Field
from starlette.responses import Response

from chassis.app import JsonBytes, create_app
from chassis.bodies import MAX_BODY
from chassis.direct import body_of, path_parameter, query_of
from chassis.errors import Conflict, Unavailable
from chassis.openapi import query_parameters
from chassis.queries import Digits, Query, once
from chassis.schemas import Body, Text
from chassis.settings import ServiceSettings
from chassis.testing.apps import client_of, started
from chassis.waiting import seconds_left

router = APIRouter(prefix="/lamps")
NAME = re.compile("[a-z]{1,8}")


class Lamp(Body):
    label: Text
    watts: int


@router.get("")
async def find(request: Request) -> Response:
    return JsonBytes(b'{"lamps":[]}', headers={"ETag": f'"{request.query_params.get("etag", "1")}"'})


@router.get("/patience")
async def patience(request: Request) -> Response:
    left = seconds_left()
    return JsonBytes(json.dumps(left is not None and left > 5).encode())


@router.put("/{name}")
async def put(request: Request) -> Response:
    name, lamp = path_parameter(request, "name", NAME), await body_of(request, Lamp)
    return JsonBytes(json.dumps({name: lamp.model_dump()}).encode(), 201)


@router.delete("/{what}")
async def fail(request: Request) -> Response:
    failures: Mapping[str, Exception] = {
        "taken": Conflict("lamp-taken", "The lamp is taken", "Choose another.", lamp="desk"),
        "busy": Unavailable("too-busy", "Too busy", "Try again.", retry_after=3),
        "database": asyncpg.ConnectionDoesNotExistError("connection was closed"),
        "bug": ZeroDivisionError("the stack trace says password=9d2f"),
    }
    raise failures[path_parameter(request, "what", NAME)]


@router.get("/{name}/color")
async def color(name: str) -> str:
    return f"{name} is white"


class Wanted(Query):
    color: str = "white"
    watts: Annotated[Digits, Field(le=100)] | None = None
    shape: list[str] = Field(default_factory=list, max_length=2)


@router.get("/catalog/framework")
async def described(request: Request, wanted: Annotated[Wanted, QueryOfFastAPI()]) -> Response:
    once(request, "shape")
    return JsonBytes(wanted.model_dump_json().encode())


@router.get("/catalog/direct", openapi_extra={"parameters": query_parameters(Wanted)})
async def read(request: Request) -> Response:
    return JsonBytes(query_of(request, Wanted, "shape").model_dump_json().encode())


FUNCTIONS = [find, patience, put, fail, read]


def lamps(*, direct: bool) -> FastAPI:
    settings = ServiceSettings(log_sample_ratio=1)
    return create_app(settings, "lamps", title="Lamps", routers=[router], direct=FUNCTIONS if direct else ())


@asynccontextmanager
async def serving(*, direct: bool) -> AsyncIterator[httpx2.AsyncClient]:
    async with started(lamps(direct=direct)) as app, client_of(app) as client:
        yield client


GOOD = b'{"label": "desk", "watts": 5}'
AS_JSON = {"content-type": "application/json"}

REQUESTS = [
    ("GET", "/lamps", {}, b""),
    ("GET", "/lamps?etag=2", {}, b""),
    ("HEAD", "/lamps", {}, b""),
    ("GET", "/lamps/", {}, b""),
    ("POST", "/lamps", AS_JSON, GOOD),
    ("OPTIONS", "/lamps", {}, b""),
    ("GET", "/lamps/patience", {}, b""),
    ("GET", "/lamps/patience", {"x-request-timeout-ms": "9000"}, b""),
    ("GET", "/lamps/desk/color", {}, b""),
    ("GET", "/lamps/desk", {}, b""),
    ("PUT", "/lamps/desk", AS_JSON, GOOD),
    ("PUT", "/lamps/desk/", AS_JSON, GOOD),
    ("PUT", "/lamps/de%73k", AS_JSON, GOOD),
    ("PUT", "/lamps/DESK", AS_JSON, GOOD),
    ("PUT", "/lamps/d%0Ak", AS_JSON, GOOD),
    ("PUT", "/lamps/desk", {"content-type": "application/lamp+json; charset=utf-8"}, GOOD),
    ("PUT", "/lamps/desk", {"content-type": "APPLICATION/JSON"}, GOOD),
    ("PUT", "/lamps/desk", {"content-type": "text/plain"}, GOOD),
    ("PUT", "/lamps/desk", {"content-type": "application/jsonp"}, GOOD),
    ("PUT", "/lamps/desk", {}, GOOD),
    ("PUT", "/lamps/desk", AS_JSON, b""),
    ("PUT", "/lamps/desk", AS_JSON, b'{"label": "desk", "label": "floor", "watts": 5}'),
    ("PUT", "/lamps/desk", AS_JSON, b'{"label": "desk", "watts": "5"}'),
    ("PUT", "/lamps/desk", AS_JSON, b'{"label": "\\u0000", "watts": 5, "hue": 1}'),
    ("PUT", "/lamps/desk", AS_JSON, b"[]"),
    ("PUT", "/lamps/desk", AS_JSON, b'{"label": "' + b"x" * MAX_BODY + b'", "watts": 5}'),
    ("DELETE", "/lamps/taken", {}, b""),
    ("DELETE", "/lamps/busy", {}, b""),
    ("DELETE", "/lamps/database", {}, b""),
    ("DELETE", "/lamps/bug", {}, b""),
]


def counts() -> dict[tuple[str, ...], float]:
    """Returns what the metrics of requests and problems have counted so far."""
    names = "http_server_request_duration_seconds_count", "quayside_http_problems_total"
    samples = [each for family in REGISTRY.collect() for each in family.samples if each.name in names]
    return {(each.name, *sorted(each.labels.values())): each.value for each in samples}


@pytest.mark.parametrize("asked", REQUESTS, ids=lambda asked: f"{asked[0]} {asked[1]} {asked[3][:20]}")
async def test_both_ways_give_the_same_response_the_same_metrics_and_the_same_log_line(
    asked: tuple[str, str, dict[str, str], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    method, path, headers, body = asked
    seen = []
    for direct in (False, True):
        async with serving(direct=direct) as client:
            capsys.readouterr()
            before = counts()
            response = await client.request(method, path, headers=headers, content=body)
            counted = {key: value - before.get(key, 0) for key, value in counts().items() if value != before.get(key)}
            lines = [
                line for line in map(json.loads, capsys.readouterr().out.splitlines()) if line["logger"] == "access"
            ]
            for line in lines:
                del line["time"], line["ms"]
                line["exception"] = line.get("exception", "").rpartition("\n")[2]
            seen.append((response.status_code, dict(response.headers), response.content, counted, lines))

    assert seen[0] == seen[1]
    assert len(seen[0][4]) == 1


async def test_a_body_that_grows_too_large_is_refused_as_early() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 1000

    async with serving(direct=True) as client:
        assert (await client.put("/lamps/desk", headers=AS_JSON, content=chunks())).status_code == 413


def test_both_ways_have_the_same_openapi_document() -> None:
    assert lamps(direct=True).openapi() == lamps(direct=False).openapi()


def test_a_route_with_dependencies_which_may_be_checks_of_rights_cannot_be_direct() -> None:
    careful = APIRouter()

    def refuse() -> None:
        raise Conflict("off", "The lamp is off", "Switch it on.")

    @careful.get("/switch", dependencies=[Depends(refuse)])
    async def switch(request: Request) -> Response:
        return Response()

    @careful.get("/bulb")
    async def bulb(request: Request, _: Annotated[None, Depends(refuse)]) -> Response:
        return Response()

    for function in (switch, bulb):
        app = create_app(ServiceSettings(), "lamps", title="Lamps", routers=[careful], direct=[function])  # type: ignore[list-item]
        with pytest.raises(TypeError, match="has dependencies"):
            app.build_middleware_stack()


@pytest.mark.parametrize(
    "query",
    [
        "",
        "color=",
        "color=red&watts=5&shape=globe&shape=tube",
        "color=a%20b%26&shape=",
        "shape=a&shape=b&shape=c",
        "color=red&color=blue",
        "watts=5.0",
        "watts=101",
        "watts=",
        "hue=1",
    ],
)
async def test_a_query_is_read_as_the_framework_reads_it(query: str) -> None:
    async with serving(direct=True) as client:
        ours, theirs = [await client.get(f"/lamps/catalog/{way}?{query}") for way in ("direct", "framework")]

    assert (ours.status_code, ours.json()) == (theirs.status_code, theirs.json())


def test_a_query_is_described_as_the_framework_describes_it() -> None:
    paths = lamps(direct=True).openapi()["paths"]
    ours, theirs = (paths[f"/lamps/catalog/{way}"]["get"]["parameters"] for way in ("direct", "framework"))

    assert ours == theirs
